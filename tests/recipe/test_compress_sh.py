"""local/compress.sh: the command in the recipe's environment."""


def test_where_and_how_it_is_called(run_in, tmp_path):
    done = run_in("local/compress.sh")
    assert done.returncode == 1
    assert "usage: local/compress.sh MODEL" in done.stderr
    done = run_in("bash", "-c", "cd local && ./compress.sh none.zip")
    assert done.returncode == 1
    assert "run it from the recipe directory" in done.stderr


def test_a_wrong_model_ends_in_one_line_of_the_command(run_in, recipe):
    done = run_in("local/compress.sh", "none.zip", "--data", "none")
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("compress:")]
    assert len(lines) == 1 and "none.zip: no such file or directory" in lines[0]
    assert not (recipe / "exp").exists()
