# shellcheck shell=bash disable=SC2034
# Options of the stage driver with their defaults, to be sourced.  Names,
# defaults and meanings are those of ESPnet's egs2/TEMPLATE/asr1/asr.sh.

# General
stage=1               # first stage
stop_stage=10000      # last stage
skip_stages=          # stages to leave out, separated by space
skip_data_prep=false  # leave out stages 1-5
skip_train=false      # leave out stages 6-11
skip_eval=false       # leave out stages 12-13
skip_packing=true     # leave out stage 14
skip_upload_hf=true   # leave out stage 15
eval_valid_set=false  # decode the validation set as well
ngpu=1                # GPUs for training; 0: CPU
num_nodes=1           # machines for training
nj=32                 # parallel jobs of data stages
inference_nj=32       # parallel jobs of decoding
gpu_inference=false   # decode on the GPU
dumpdir=dump          # where prepared audio goes
expdir=exp            # where experiments go
python=python3        # how ESPnet's commands are run

# Data
local_data_opts=                # options for local/data.sh
post_process_local_data_opts=   # options for a second local/data.sh in stage 4
speed_perturb_factors=          # e.g. "0.9 1.0 1.1"
feats_type=raw                  # only raw
audio_format=flac               # flac or wav
fs=16k                          # sampling rate
min_wav_duration=0.1            # seconds
max_wav_duration=20             # seconds

# Tokens
token_type=bpe                    # bpe, char or word
nbpe=30                           # pieces
bpemode=unigram                   # unigram or bpe
oov="<unk>"
blank="<blank>"
sos_eos="<sos/eos>"
bpe_input_sentence_size=100000000 # sentences that the piece model is made from
bpe_nlsyms=                       # symbols, comma-separated or a file with one a line
bpe_char_cover=1.0                # share of the characters to cover

# Language model
use_ngram=false
ngram_exp=
ngram_num=3
use_lm=true
lm_tag=
lm_exp=
lm_stats_dir=
lm_config=
lm_args=
num_splits_lm=1
use_word_lm=false
word_vocab_size=10000

# Recogniser
asr_task=asr               # asr
asr_tag=                   # name of the experiment
asr_exp=                   # its directory; asr_tag is then unused
asr_stats_dir=
asr_config=
asr_args=                  # go before what the config says, e.g. "--max_epoch 10"
pretrained_model=          # for --init_param
ignore_init_mismatch=false
feats_normalize=global_mvn # or utterance_mvn
num_splits_asr=1

# Upload
hf_repo=                   # user/name

# Decoding
batch_size=1
inference_tag=
inference_config=
inference_args=
inference_lm=valid.loss.ave.pth
inference_ngram=           # default: <ngram_num>gram.bin
inference_asr_model=valid.acc.ave.pth

# Sets and texts
train_set=                 # required
valid_set=                 # required
test_sets=                 # required, separated by space
bpe_train_text=
lm_train_text=
lm_dev_text=
lm_test_text=
nlsyms_txt=none
cleaner=none
hyp_cleaner=none
g2p=none
lang=noinfo
score_opts=                # for sclite
local_score_opts=          # for local/score.sh, if there is one
asr_speech_fold_length=800
asr_text_fold_length=150
lm_fold_length=150

parse_options_only=$(sed -n 's/^\([a-z][a-z0-9_]*\)=.*/\1/p' "${BASH_SOURCE[0]}" \
    | grep -v '^parse_options_only$' | tr '\n' ' ')
