"""Section 7: what is watched, what is logged, and the way back."""

from __future__ import annotations

from tests.guideline.mutants.edits import (
    after,
    append,
    before,
    chmod,
    create,
    cut,
    edits,
    into,
    remove,
    rename,
    rewrite,
    script,
    swap,
    swap_block,
)
from tests.guideline.mutants.model import Mutant

STACK = "deploy/stack.yaml"
DOCKERFILE = "Dockerfile"
STAGING = ".github/workflows/cd-staging.yml"
PRODUCTION = ".github/workflows/cd-production.yml"
ROLLBACK = ".github/workflows/rollback.yml"
CONNECT = ".github/actions/connect/action.yml"
REVERT = "deploy/revert.sh"
SECURITY = "app/core/security.py"
RELEASE = "- name: Deploy as planned, test, and go back if it fails"
STAGING_RELEASE = "- name: Deploy, test, and go back if it fails"
CHECK = 'test: ["CMD", "python", "-m", "app.healthcheck", "/ready"]'
KNOWN_USER = "    bind_user(request.scope, user or ANONYMOUS)\n"
MASKER = "        Masker(secrets_of(settings, others)),\n"
ON_STAGING = "          python3 -m deploy.secrets check staging\n"
IMAGE_CHECK = (
    "HEALTHCHECK --interval=10s --timeout=3s --retries=3 --start-period=30m"
    " --start-interval=2s \\\n"
    '    CMD ["python", "-m", "app.healthcheck"]\n'
)
ROLL_BACK = "- name: Roll back"

MUTANTS = (
    Mutant(
        "health-disabled",
        "S7.1",
        "the stack does not ask for the service's health",
        swap(STACK, CHECK, "disable: true"),
        "the stack asks for the service's health in another notation",
        swap(STACK, CHECK, "test: python -m app.healthcheck /ready || exit 1"),
    ),
    Mutant(
        "always-healthy",
        "S7.1",
        "the service is healthy whatever it does",
        swap(STACK, CHECK, 'test: ["CMD-SHELL", "exit 0"]'),
        "the stack asks less often",
        swap(STACK, "      interval: 5s\n", "      interval: 30s\n"),
    ),
    Mutant(
        "goes-on",
        "S7.1",
        "an update that fails goes on",
        edits(
            swap(
                STACK,
                "        failure_action: rollback\n        max_failure_ratio: 0\n",
                "        failure_action: continue\n",
            )
        ),
        "an update may fail no longer than a minute",
        swap(
            STACK,
            "        monitor: ${MONITOR_SECONDS:-15}s\n        failure_action: rollback\n",
            "        monitor: 60s\n        failure_action: 'rollback'\n",
        ),
    ),
    Mutant(
        "nothing-asks",
        "S7.1",
        "neither the stack nor the image asks for the service's health",
        edits(cut(STACK, "healthcheck:"), swap(DOCKERFILE, IMAGE_CHECK, "HEALTHCHECK NONE\n")),
        "the image alone asks for the service's health",
        cut(STACK, "healthcheck:"),
        seen_in=frozenset({"compose.yaml"}),
    ),
    Mutant(
        "merged-file",
        "S7.1",
        "a file that is merged into the stack disables the check",
        create(
            "deploy/stack.debug.yaml",
            'version: "3.13"\nservices:\n  service:\n    healthcheck:\n      test: ["NONE"]\n',
        ),
        "a file that is merged into the stack gives it more time",
        create(
            "deploy/stack.debug.yaml",
            'version: "3.13"\nservices:\n  service:\n    healthcheck: {timeout: 9s}\n',
        ),
    ),
    Mutant(
        "unnoticed",
        "S7.1",
        "a deployment to production that fails leaves the workflow green",
        into(PRODUCTION, RELEASE, "continue-on-error: true"),
        "a message that cannot be sent leaves the workflow green",
        after(
            PRODUCTION,
            RELEASE,
            "- name: Tell the team\n  continue-on-error: true\n"
            '  run: curl --fail --data "deployed" https://chat.corp.example/hooks/deploy',
        ),
    ),
    Mutant(
        "message",
        "S7.2",
        "a message holds a key",
        swap(
            SECURITY,
            KNOWN_USER,
            "    for known in settings.api_keys.values():\n"
            '        print(f"a known key: {known.get_secret_value()}")\n' + KNOWN_USER,
        ),
        "a message holds how many keys there are",
        swap(
            SECURITY,
            KNOWN_USER,
            '    print(f"known keys: {len(settings.api_keys)}")\n' + KNOWN_USER,
        ),
    ),
    Mutant(
        "logger",
        "S7.2",
        "a logger is given a password, with %",
        append(
            "app/services/container.py",
            '\n\ndef connected(user: str, db_password: str) -> None:\n    """Log."""\n'
            "    import logging\n\n"
            '    logging.getLogger(__name__).warning("db %s:%s", user, db_password)\n',
        ),
        "a logger is given a name, and speaks of a password",
        append(
            "app/services/container.py",
            '\n\ndef connected(user: str, db_password: str) -> None:\n    """Log."""\n'
            "    import logging\n\n"
            '    logging.getLogger(__name__).warning("the password of %s is old", user)\n',
        ),
    ),
    Mutant(
        "variable",
        "S7.2",
        "a variable of the environment with keys is written",
        append(
            "app/start_up.py",
            '\nimport os, sys  # noqa\n\nprint(os.environ["API_KEYS"], file=sys.stderr)\n',
        ),
        "a variable of the environment without keys is written",
        append(
            "app/start_up.py",
            '\nimport os, sys  # noqa\n\nprint(os.environ["HOSTNAME"], file=sys.stderr)\n',
        ),
    ),
    Mutant(
        "no-masking",
        "S7.2",
        "nothing masks secrets in the logs",
        swap("app/core/logger.py", MASKER, ""),
        "one more processor stands before the masking",
        swap(
            "app/core/logger.py",
            MASKER,
            f"        structlog.processors.StackInfoRenderer(),\n{MASKER}",
        ),
    ),
    Mutant(
        "echo-in-a-workflow",
        "S7.2",
        "a workflow writes a secret",
        swap(STAGING, ON_STAGING, f'{ON_STAGING}          echo "keys: ${{API_KEYS}}"\n'),
        "a workflow says that a secret is missing",
        swap(
            STAGING,
            ON_STAGING,
            f'{ON_STAGING}          [ -n "$API_KEYS" ] || echo "::error::API_KEYS is missing"\n',
        ),
    ),
    Mutant(
        "expression-in-a-workflow",
        "S7.2",
        "a workflow writes a secret by its expression",
        before(
            PRODUCTION,
            RELEASE,
            "- run: |\n    echo 'Deploys with ${{ secrets.API_KEYS }}'",
        ),
        "a workflow writes a variable by its expression",
        before(PRODUCTION, RELEASE, "- run: |\n    echo 'Deploys to ${{ vars.PUBLIC_URL }}'"),
    ),
    Mutant(
        "every-command",
        "S7.2",
        "a script shows every command, with its secrets",
        script(
            "scripts/login.sh",
            'set -eux\ncurl -H "Authorization: Bearer $REGISTRY_TOKEN" https://ghcr.io/v2/\n',
        ),
        "a script shows no command",
        script(
            "scripts/login.sh",
            'set -eu\ncurl -H "Authorization: Bearer $REGISTRY_TOKEN" https://ghcr.io/v2/\n',
        ),
    ),
    Mutant(
        "every-variable",
        "S7.2",
        "a step that has secrets writes its whole environment",
        swap(STAGING, ON_STAGING, f"{ON_STAGING}          env | sort\n"),
        "a step that has secrets writes the names of its environment",
        swap(STAGING, ON_STAGING, f"{ON_STAGING}          env | cut -d= -f1 | sort\n"),
    ),
    Mutant(
        "no-script",
        "S7.3",
        "the script is gone, and with it what the workflow runs",
        edits(remove(REVERT), swap_block(ROLLBACK, ROLL_BACK, '- run: echo "See the wiki."')),
        "the script has another name",
        edits(
            rename(REVERT, "deploy/rollback.sh"),
            swap(ROLLBACK, "deploy/revert.sh", "deploy/rollback.sh"),
        ),
    ),
    Mutant(
        "not-executable",
        "S7.3",
        "the script cannot be run",
        chmod(REVERT, 0o644),
        "another script cannot be run, which others read",
        create("deploy/names.sh", "#!/usr/bin/env bash\nexport PROJECT_NAME=kodex-voice\n"),
    ),
    Mutant(
        "empty",
        "S7.3",
        "the script does nothing",
        rewrite(REVERT, "#!/usr/bin/env bash\nset -eu\n# To be written.\nexit 0\n"),
        "the script says what it does",
        edits(
            swap(REVERT, "exec python3", 'echo "Going back: $*"\nexec python3'),
        ),
    ),
    Mutant(
        "another-command",
        "S7.3",
        "the script shows the state, and goes nowhere",
        swap(REVERT, "deploy.release rollback", "deploy.release status"),
        "the script lets others name the Python",
        swap(REVERT, "exec python3", 'exec "${PYTHON:-python3}"'),
    ),
    Mutant(
        "no-workflow",
        "S7.3",
        "no workflow goes back",
        remove(ROLLBACK),
        "the workflow has another name",
        rename(ROLLBACK, ".github/workflows/revert.yaml"),
    ),
    Mutant(
        "unknown-command",
        "S7.3",
        "the release tool has no such command any more",
        swap("deploy/release.py", 'add_parser("rollback"', 'add_parser("undeploy"'),
        "the release tool has a second name for the command",
        swap(
            "deploy/release.py",
            'add_parser("rollback", ',
            'add_parser("rollback", aliases=["revert"], ',
        ),
        seen_in=frozenset({REVERT}),
    ),
)
