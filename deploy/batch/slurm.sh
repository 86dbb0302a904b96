#!/bin/bash
# Slurm job array: 50 parts of one batch, 16 workers each, then one job that joins them.
#
#   sbatch deploy/batch/slurm.sh
#
# INPUT is a table of the studies; make it once with: jcs batch ARCHIVE --plan studies.csv
# INPUT and OUT lie on a file system that all nodes see, with locks (NFS 4, Lustre mounted with flock, GPFS).
#SBATCH --job-name=jcs
#SBATCH --array=0-49
#SBATCH --cpus-per-task=16
#SBATCH --mem=24G
#SBATCH --time=12:00:00
#SBATCH --requeue
# SIGTERM a minute before the end: running studies are finished or dropped, and the requeued part goes on.
#SBATCH --signal=TERM@60
set -euo pipefail
INPUT=${INPUT:-studies.csv}
OUT=${OUT:-results}

# The first array task has the join run once all parts have ended, whatever became of them.
if [ "$SLURM_ARRAY_TASK_ID" = "${SLURM_ARRAY_TASK_MIN:-0}" ] && [ "${SLURM_RESTART_COUNT:-0}" = 0 ]; then
    sbatch --dependency="afterany:$SLURM_ARRAY_JOB_ID" --job-name=jcs-cohort --wrap="jcs cohort $OUT"
fi
exec srun jcs batch "$INPUT" -o "$OUT" --part auto --workers "$SLURM_CPUS_PER_TASK" --grace 45
