// Nextflow: nextflow run deploy/batch/main.nf --input /data/studies.csv --out /data/results --parts 20
//
// The folder of results is a path that all nodes see, and not an output that Nextflow would copy: parts share it, and a
// part that is tried again goes on where it was.
params.input = 'studies.csv'
params.out = 'results'
params.parts = 20

process PART {
    cpus 8
    memory '12 GB'
    errorStrategy { task.exitStatus == 4 ? 'ignore' : 'retry' }
    maxRetries 5

    input:
    val part

    output:
    val part

    script:
    """
    jcs batch '${file(params.input)}' -o '${file(params.out)}' --part $part --of $params.parts --workers $task.cpus
    """
}

process COHORT {
    input:
    val parts

    script:
    """
    jcs cohort '${file(params.out)}'
    """
}

workflow {
    COHORT(PART(Channel.of(0..<params.parts)).collect())
}
