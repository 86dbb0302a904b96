"""Many studies in one call: what is to be done, who does it, what is done already, and the table at the end.

Read `driver.run_batch` first. `items` and `discovery` say which studies there are, `work` does one of them, an `engine`
runs `work` in many processes, `records` remember what became of each study, and `cohort` makes the table.
"""
