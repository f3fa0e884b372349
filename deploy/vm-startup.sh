#!/bin/bash
# Runs at every boot of a VM, as root (a cloud's startup script, or a systemd unit): goes
# on with the training run where a preempted VM left it, and does nothing more once it has
# all its steps. docs/gpu-vm.md says what has to be there before.
set -euf -o pipefail

IMAGE=${IMAGE:-galaxy:gpu}
DATA=${DATA:-/mnt/galaxy/data} # holds cache/
# On a disk that outlives the VM, with a file .galaxy in it, which shows that this disk is
# mounted: nothing is to be trained on what is there without it. User 1000 may write to it.
RUNS=${RUNS:-/mnt/galaxy/runs}
RUN=${RUN:-best}
TRAIN=${TRAIN:---recipe best --epochs 60 --batch 128}
GPUS=${GPUS---gpus all}

# Disks and Docker come up in their own time.
for _ in {1..150}; do
  if [ -d "$DATA/cache" ] && [ -e "$RUNS/.galaxy" ] && docker info >/dev/null 2>&1; then ready=1 && break; fi
  sleep 2
done
[ -n "${ready:-}" ] || { echo "galaxy: after 5 minutes there is no $DATA/cache, no $RUNS/.galaxy or no Docker" >&2; exit 1; }

[ -z "$(docker ps --quiet --filter name='^galaxy$')" ] || exit 0
docker rm galaxy >/dev/null 2>&1 || true
# A stop signal that is not ours, as of a Docker that is upgraded, is exit code 3, which
# on-failure goes on after; docker stop and the last step are final.
# shellcheck disable=SC2086 # the flags are to be split
exec docker run --detach --name galaxy $GPUS --restart on-failure:10 --stop-timeout 25 --shm-size 2g \
  --mount "type=bind,src=$DATA,dst=/data,readonly" --mount "type=bind,src=$RUNS,dst=/runs" \
  "$IMAGE" train --data /data/cache --out "/runs/$RUN" --resume $TRAIN
