# shellcheck shell=bash
# How jobs are run.  The default runs them on this machine; for a cluster put
# Kaldi's queue.pl (SGE) or slurm.pl (Slurm) here, with their options, e.g.
#   export train_cmd="slurm.pl --mem 4G"
# All are called as   COMMAND [options] [JOB=1:N] LOG PROGRAM...

export train_cmd=${train_cmd:-local/run_parallel.py}   # data and statistics
export cuda_cmd=${cuda_cmd:-local/run_parallel.py}     # training, GPU decoding
export decode_cmd=${decode_cmd:-local/run_parallel.py} # CPU decoding
