#!/usr/bin/env bash
# demo.sh VENV OUTPUT: diagnose both examples and print the paths of the reports.
#
# Exits with the highest exit code of `jcs diagnose`, so that a failed or not assessable study is not hidden.
set -uo pipefail
venv=$1
output=$2
examples=(coronacases_001 lung-pet-ct-dx-A0002)

worst=0
lines=()
for example in "${examples[@]}"; do
    echo
    echo "\$ jcs diagnose examples/$example -o $output/$example"
    rm -rf "${output:?}/$example"
    summary=$(COLUMNS=240 "$venv/bin/jcs" diagnose "examples/$example" -o "$output/$example")
    code=$?
    printf '%s\n' "$summary"
    case $code in
        0) verdict=$(tail -n 1 <<<"$summary") ;;
        3) verdict="not assessable (exit code 3): $(tail -n 1 <<<"$summary")" ;;
        *) verdict="FAILED with exit code $code, see above" ;;
    esac
    lines+=("  $example" "    $verdict")
    if [ -f "$output/$example/report.html" ]; then
        lines+=("    report: $output/$example/report.html")
    fi
    if [ "$code" -gt "$worst" ]; then
        worst=$code
    fi
done

echo
echo "Verdicts"
printf '%s\n' "${lines[@]}"
echo
echo "What the examples are and where they come from: examples/README.md"
echo "For research. Not a medical device."
exit "$worst"
