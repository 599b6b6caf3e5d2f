"""The soak: real processes page a real local PagerDuty through everything that goes wrong, and nothing may be lost.

    make soak EPISODES=10000          python -m tests.soak --episodes 10000

A *world* is one namespace: two hundred rules with a schedule of when they are really bad, one or two state directories,
a local PagerDuty on the world's clock, and an hour of compressed time. Every run is the shipped `run_once` in a process
of its own (forked from one that has imported everything), with the shipped journal, sender, sink and reader. What goes
wrong is named: crash points in `crash.py`, the far side's faults, disks, damage and people in `faults.py` and
`world.py`. The oracle (`oracle.py`) reads the schedule and the local PagerDuty's own file, and never our journal.

- An *episode* is one incident's key over the line, as evaluations found it that are on disk: from the first one that
  finds it firing to the one that has found it under the line for `hold_open`. Only what the schedule says at the minute
  of a committed evaluation counts, so an evaluation that was killed before its commit decided nothing.
- *lost*: no incident of the key was open during the episode or was opened for it within `not_after`, and no run said so
  (`NOT DELIVERED`, `NOT VISIBLE`: exit 5). What was said is *told*, and counted apart; so is what was in a journal whose
  file was destroyed, where the next run says that a page may be lost with it (*warned*), and where a page came so late, within
  `not_after`, that the next episode of its key had begun and one incident stands for both (*shared*).
- *doubled*: more incidents than one were opened under its key in an episode. The contract allows another one where a
  person closed the first (after `reopen_after`; where nobody can look, with the next repeat; in a group, when another
  alert joins), where the journal was lost in between, and where one of two hosts had itself found the rule under the
  line for `hold_open` while the other had not. Each is counted by its reason.
- *stuck*: an incident is open at the end, after quiet and fault-free runs, and its rule is healthy or in no file.

`--without-outbox` and `--remember-before-send` carry decisions the way that scripts do (`carriers.py`): with them the
soak must find lost, doubled and stuck pages. A crash point that never strikes fails the soak, too.
"""
