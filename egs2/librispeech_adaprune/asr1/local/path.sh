# shellcheck shell=bash
# Settings of this recipe, sourced at the end of path.sh.

# One thread a process: on two cores a step of the toy training takes 0.11 s with one
# thread and 0.18 to 0.25 s with two. Set ADAPRUNE_THREADS for larger models.
export OMP_NUM_THREADS=${ADAPRUNE_THREADS:-1}
# Threads that wait must sleep: with spinning ones, a training step took 5 s instead of
# 0.4 s where something else wanted the processors too.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
