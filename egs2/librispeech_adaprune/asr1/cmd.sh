# shellcheck shell=bash
# How jobs are run: by ESPnet's utils/run.pl on this machine. For a cluster put queue.pl
# (SGE) or slurm.pl here with their options, which conf/queue.conf and conf/slurm.conf
# describe as in ESPnet's recipes, e.g.
#   export train_cmd="slurm.pl --mem 4G"

export train_cmd=${train_cmd:-run.pl}    # data and statistics
export cuda_cmd=${cuda_cmd:-run.pl}      # training, decoding on GPUs
export decode_cmd=${decode_cmd:-run.pl}  # decoding on CPUs
