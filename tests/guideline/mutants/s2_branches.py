"""Section 2: branches, and what protects ``main``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.guideline.mutants.edits import (
    Edit,
    change_json,
    create,
    cut,
    edits,
    into,
    remove,
    rename,
    swap,
    swap_all,
)
from tests.guideline.mutants.model import Mutant

RULESET = ".github/rulesets/main.json"
CI = ".github/workflows/ci.yml"
PATTERN = "main | develop | feature/?* | fix/?*) ;;"
JOB_IF = "if: github.event_name == 'pull_request'"
NAMES = "^(main|develop|(feature|fix)/.+)$"

BRANCH_WORKFLOW = """\
name: Branch name
"on":
  pull_request:
    branches: [main, develop]
permissions: {}
jobs:
  check:
    name: Branch name
    runs-on: ubuntu-latest
    steps:
      - env:
          HEAD: ${{ github.event.pull_request.head.ref }}
        run: |
          if ! [[ $HEAD =~ ^(main|develop|(feature|fix)/.+)$ ]]; then
            echo "::error::Rename $HEAD to feature/<name> or fix/<name>."
            exit 1
          fi
"""
NAMES_RULESET = {
    "name": "branch names",
    "target": "branch",
    "enforcement": "active",
    "conditions": {"ref_name": {"include": ["~ALL"], "exclude": []}},
    "rules": [
        {
            "type": "branch_name_pattern",
            "parameters": {"operator": "regex", "pattern": NAMES, "negate": False, "name": ""},
        }
    ],
}
TAGS_RULESET = {
    "name": "tags",
    "target": "tag",
    "enforcement": "disabled",
    "conditions": {"ref_name": {"include": ["refs/tags/v*"], "exclude": []}},
    "rules": [{"type": "deletion"}],
}
AUTO_APPROVE = """\
name: Approve
on: pull_request
permissions:
  pull-requests: write
jobs:
  approve:
    runs-on: ubuntu-latest
    steps:
      - env:
          GH_TOKEN: ${{ github.token }}
          PR: ${{ github.event.pull_request.html_url }}
        run: gh pr review --approve "$PR"
"""
COMMENT = (
    AUTO_APPROVE.replace("name: Approve", "name: Greet")
    .replace("approve:", "greet:")
    .replace(
        'gh pr review --approve "$PR"',
        'gh pr comment --body "Thanks! A person will review it." "$PR"',
    )
)


def without_rule(kind: str) -> Edit:
    """Take a rule out of the ruleset."""

    def change(ruleset: Any) -> None:
        ruleset["rules"] = [rule for rule in ruleset["rules"] if rule["type"] != kind]

    return change_json(RULESET, change)


def setting(path: str, value: object) -> Edit:
    """Set a value of the ruleset, by the names that lead to it."""

    def change(ruleset: Any) -> None:
        *parents, last = path.split(".")
        for name in parents:
            ruleset = ruleset[name]
        ruleset[last] = value

    return change_json(RULESET, change)


def parameter(kind: str, name: str, value: object) -> Edit:
    """Set a parameter of a rule."""
    return change_rule(kind, lambda parameters: parameters.update({name: value}))


def change_rule(kind: str, change: Callable[[Any], object]) -> Edit:
    """Change the parameters of a rule."""

    def make(ruleset: Any) -> None:
        (rule,) = [rule for rule in ruleset["rules"] if rule["type"] == kind]
        change(rule["parameters"])

    return change_json(RULESET, make)


def only_check(context: str) -> Edit:
    """Have the ruleset ask for one check alone."""

    def change(parameters: Any) -> None:
        checks = parameters["required_status_checks"]
        parameters["required_status_checks"] = [one for one in checks if one["context"] == context]

    return change_rule("required_status_checks", change)


def without_check(context: str) -> Edit:
    """Have the ruleset ask no longer for a check."""

    def change(parameters: Any) -> None:
        checks = parameters["required_status_checks"]
        parameters["required_status_checks"] = [one for one in checks if one["context"] != context]

    return change_rule("required_status_checks", change)


def split_rules(kind: str) -> Edit:
    """Move a rule into a ruleset of its own."""
    return edits(
        without_rule(kind),
        create(
            ".github/rulesets/reviews.json",
            json.dumps(
                {
                    "name": "reviews",
                    "target": "branch",
                    "enforcement": "active",
                    "bypass_actors": [],
                    "conditions": {"ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []}},
                    "rules": [
                        {
                            "type": kind,
                            "parameters": {
                                "dismiss_stale_reviews_on_push": True,
                                "require_code_owner_review": False,
                                "require_last_push_approval": True,
                                "required_approving_review_count": 2,
                                "required_review_thread_resolution": True,
                            },
                        }
                    ],
                },
                indent=2,
            ),
        ),
    )


def more_checks(parameters: Any) -> None:
    """Ask for one more check, which a new job of CI gives."""
    parameters["required_status_checks"].append({"context": "Documents"})


DOCUMENTS_JOB = """\
documents:
  name: Documents
  runs-on: ubuntu-latest
  steps:
    - run: echo "links are fine"
"""

MUTANTS = (
    Mutant(
        "force-push",
        "S2.1",
        "the rule against force pushes is gone",
        without_rule("non_fast_forward"),
        "one more rule: a linear history",
        change_json(RULESET, lambda r: r["rules"].append({"type": "required_linear_history"})),
    ),
    Mutant(
        "disabled",
        "S2.1",
        "the ruleset is there, and not enforced",
        setting("enforcement", "disabled"),
        "another ruleset, of tags, is not enforced",
        create(".github/rulesets/tags.json", json.dumps(TAGS_RULESET)),
        also=frozenset({"S2.2", "S2.3"}),
    ),
    Mutant(
        "another-branch",
        "S2.1",
        "the ruleset protects develop instead",
        setting("conditions.ref_name.include", ["refs/heads/develop"]),
        "the ruleset protects develop as well",
        setting("conditions.ref_name.include", ["~DEFAULT_BRANCH", "refs/heads/develop"]),
        also=frozenset({"S2.2", "S2.3"}),
    ),
    Mutant(
        "excluded",
        "S2.1",
        "main is left out of every branch",
        edits(
            setting("conditions.ref_name.include", ["~ALL"]),
            setting("conditions.ref_name.exclude", ["refs/heads/main"]),
        ),
        "branches that are worked on are left out of every branch",
        edits(
            setting("conditions.ref_name.include", ["~ALL"]),
            setting("conditions.ref_name.exclude", ["refs/heads/feature/**", "refs/heads/fix/**"]),
        ),
        also=frozenset({"S2.2", "S2.3"}),
    ),
    Mutant(
        "no-checks",
        "S2.1",
        "no check is required",
        without_rule("required_status_checks"),
        "one more check is required, and a job gives it",
        edits(
            change_rule("required_status_checks", more_checks),
            into(CI, "jobs:", DOCUMENTS_JOB),
        ),
        also=frozenset({"S2.2"}),
    ),
    Mutant(
        "tests-not-required",
        "S2.1",
        "of the checks only the branch's name is required",
        only_check("Branch name"),
        "the job of the tests has another name, in the ruleset too",
        edits(
            swap(CI, "name: Lint and test", "name: Quality gate"),
            swap(RULESET, '"Lint and test"', '"Quality gate"'),
        ),
    ),
    Mutant(
        "no-ruleset",
        "S2.1",
        "the ruleset's file is gone",
        remove(RULESET),
        "the ruleset's file has another name",
        edits(
            rename(RULESET, ".github/rulesets/protect-main.json"),
            swap_all("Makefile", "rulesets/main.json", "rulesets/protect-main.json"),
        ),
        also=frozenset({"S2.2", "S2.3"}),
    ),
    Mutant(
        "no-job",
        "S2.2",
        "nothing looks at the branch's name any more",
        edits(cut(CI, "branch-name:"), without_check("Branch name")),
        "a workflow of its own looks at the branch's name",
        edits(
            cut(CI, "branch-name:"),
            create(".github/workflows/branch-name.yaml", BRANCH_WORKFLOW),
        ),
    ),
    Mutant(
        "any-name",
        "S2.2",
        "every name with a slash is right",
        swap(CI, PATTERN, "main | develop | */?*) ;;"),
        "the same names as a regular expression",
        edits(
            swap(CI, 'case "$BRANCH" in', "if ! [[ $BRANCH =~ " + NAMES + " ]]; then"),
            swap(CI, f"            {PATTERN}\n            *)\n", ""),
            swap(
                CI,
                "              exit 1\n              ;;\n          esac",
                "              exit 1\n          fi",
            ),
        ),
    ),
    Mutant(
        "a-warning",
        "S2.2",
        "a wrong name is a warning",
        edits(
            swap(CI, '"::error::A branch', '"::warning::A branch'),
            swap(CI, "              exit 1\n              ;;", "              ;;"),
        ),
        "a wrong name is explained in two lines",
        swap(
            CI,
            "              exit 1\n",
            '              echo "See CONTRIBUTING.md."\n              exit 1\n',
        ),
    ),
    Mutant(
        "name-of-the-target",
        "S2.2",
        "the name is that of the branch that is merged into: always main",
        swap(CI, "BRANCH: ${{ github.head_ref }}", "BRANCH: ${{ github.base_ref }}"),
        "the name is read from the event",
        swap(
            CI,
            "BRANCH: ${{ github.head_ref }}",
            "BRANCH: ${{ github.event.pull_request.head.ref }}",
        ),
    ),
    Mutant(
        "never-on-pull-requests",
        "S2.2",
        "the job runs on pushes alone: where it is skipped it counts as passed",
        swap(CI, JOB_IF, "if: github.event_name == 'push'"),
        "a rule for the names of branches takes the job's place",
        edits(
            cut(CI, "branch-name:"),
            without_check("Branch name"),
            create(".github/rulesets/names.json", json.dumps(NAMES_RULESET)),
        ),
    ),
    Mutant(
        "no-pull-request",
        "S2.3",
        "the rule that asks for a pull request is gone",
        without_rule("pull_request"),
        "the rule that asks for a pull request stands in a ruleset of its own",
        split_rules("pull_request"),
    ),
    Mutant(
        "no-review",
        "S2.3",
        "a pull request needs no approval",
        parameter("pull_request", "required_approving_review_count", 0),
        "a pull request needs two approvals, one by an owner of the code",
        edits(
            parameter("pull_request", "required_approving_review_count", 2),
            parameter("pull_request", "require_code_owner_review", True),
            create(".github/CODEOWNERS", "* @my-org/voice\n"),
        ),
    ),
    Mutant(
        "bypass",
        "S2.3",
        "whoever may write goes past all rules",
        setting(
            "bypass_actors",
            [{"actor_id": 4, "actor_type": "RepositoryRole", "bypass_mode": "always"}],
        ),
        "rules for tags that a release bot goes past",
        create(
            ".github/rulesets/tags.json",
            json.dumps(
                {
                    **TAGS_RULESET,
                    "enforcement": "active",
                    "bypass_actors": [
                        {"actor_id": 7, "actor_type": "Integration", "bypass_mode": "always"}
                    ],
                }
            ),
        ),
        also=frozenset({"S2.1", "S2.2"}),
    ),
    Mutant(
        "approved-by-a-robot",
        "S2.3",
        "a workflow approves every pull request",
        create(".github/workflows/approve.yml", AUTO_APPROVE),
        "a workflow greets every pull request",
        create(".github/workflows/greet.yml", COMMENT),
    ),
)
