"""Section 5: continuous deployment."""

from __future__ import annotations

from tests.guideline.mutants.edits import (
    Edit,
    before,
    create,
    cut,
    edits,
    into,
    move,
    rename,
    script,
    swap,
    swap_all,
    swap_block,
)
from tests.guideline.mutants.model import Mutant

STAGING = ".github/workflows/cd-staging.yml"
PRODUCTION = ".github/workflows/cd-production.yml"
STACK = "deploy/stack.yaml"
SETTINGS = "deploy/environments/production.env"
CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
BUILDX_ACTION = "docker/setup-buildx-action@37fe631027851001ddb9b187196cc803df7f5f0e"
BUILD_ACTION = "docker/build-push-action@53b7df96c91f9c12dcc8a07bcb9ccacbed38856a"
RELEASE = "- name: Deploy as planned, test, and go back if it fails"
VERIFY = "- name: Verify that the staging workflow has signed it"
STAGING_RELEASE = "- name: Deploy, test, and go back if it fails"
NOTE = "- name: Note that staging has run this image"
BUILD = "- name: Build and push"
APPLY = "          python3 -m deploy.release apply"
STAGING_APPLY = f'{APPLY} staging "sha-$COMMIT" --approved-by ci\n'
PRODUCTION_APPLY = (
    f'{APPLY} production "$VERSION" --plan "$RUNNER_TEMP/plan.json" --approved-by "$ACTOR"\n'
)
VERSION_OF_THE_REF = swap_all(
    PRODUCTION, "${{ inputs.version || github.ref_name }}", "${{ github.ref_name }}"
)
PRODUCTION_TAGS = '    tags: ["v*"]\n'

HOTFIX = f"""\
name: Hotfix
on:
  push:
    branches: ["fix/**"]
permissions:
  contents: read
env:
  VERSION: sha-${{{{ github.sha }}}}
jobs:
  plan:
    runs-on: ubuntu-latest
    environment: production-plan
    outputs:
      plan: ${{{{ steps.plan.outputs.plan }}}}
    steps:
      - uses: {CHECKOUT}
      - id: plan
        env:
          DOCKER_HOST: ${{{{ vars.DEPLOY_HOST }}}}
        run: |
          python3 -m deploy.release promote "$GITHUB_SHA" "$VERSION"
          python3 -m deploy.release plan production "$VERSION" --output plan.json
          echo "plan=$(tr -d '\\n' < plan.json)" >> "$GITHUB_OUTPUT"
  ship:
    needs: plan
    runs-on: ubuntu-latest
    environment: production
    steps:
      - uses: {CHECKOUT}
      - env:
          DOCKER_HOST: ${{{{ vars.DEPLOY_HOST }}}}
          PLAN: ${{{{ needs.plan.outputs.plan }}}}
          ACTOR: ${{{{ github.actor }}}}
        run: |
          printf '%s' "$PLAN" > plan.json
          python3 -m deploy.release apply production "$VERSION" \\
            --plan plan.json --approved-by "$ACTOR"
"""
NIGHTLY = f"""\
name: Nightly
on:
  schedule:
    - cron: "0 3 * * *"
permissions:
  contents: read
jobs:
  status:
    runs-on: ubuntu-latest
    steps:
      - uses: {CHECKOUT}
      - env:
          DOCKER_HOST: ${{{{ vars.DEPLOY_HOST }}}}
        run: python3 -m deploy.release status production
"""
CALLED_FROM_STAGING = """\
production:
  needs: deploy
  permissions:
    contents: read
    packages: write
  uses: ./.github/workflows/cd-production.yml
  secrets: inherit
"""
BY_HAND = """\
name: Release by hand
on:
  workflow_dispatch:
permissions:
  contents: read
  packages: write
jobs:
  production:
    uses: ./.github/workflows/cd-production.yml
    secrets: inherit
"""
BUILD_STEP = f"""\
- name: Build the release
  uses: {BUILD_ACTION}
  with:
    context: .
    push: true
    tags: ${{{{ steps.project.outputs.IMAGE }}}}:${{{{ steps.version.outputs.version }}}}
"""
BUILD_COMMAND = """\
- name: Build with buildx
  id: build
  env:
    IMAGE: ${{ steps.project.outputs.IMAGE }}
    COMMIT: ${{ github.sha }}
  run: |
    docker buildx build --push \\
      --tag "$IMAGE:sha-$COMMIT" \\
      --build-arg VERSION="sha-$COMMIT" --metadata-file built.json .
    echo "digest=$(jq -r '."containerimage.digest"' built.json)" >> "$GITHUB_OUTPUT"
"""
IMAGE_ACTION = """\
name: Image
description: Works on the image.
inputs:
  image:
    description: Name of the image
    required: true
runs:
  using: composite
  steps:
    - shell: bash
      env:
        IMAGE: ${{ inputs.image }}
      run: COMMAND
"""


def production_on(text: str) -> Edit:
    """Let production be deployed on other events."""
    return swap_block(PRODUCTION, "on:", text)


def staging_on(text: str) -> Edit:
    """Let staging be deployed on other events."""
    return swap_block(STAGING, "on:", text)


def instead_of_release(*commands: str) -> Edit:
    """Release to production by other commands than the release tool's."""
    lines = "".join(f"          {command}\n" for command in commands)
    return swap(PRODUCTION, PRODUCTION_APPLY, lines)


MUTANTS = (
    Mutant(
        "by-hand-only",
        "S5.1",
        "staging is deployed by hand",
        staging_on("on: workflow_dispatch"),
        "staging is deployed by hand as well",
        staging_on("on:\n  push:\n    branches:\n      - 'main'\n  workflow_dispatch:"),
    ),
    Mutant(
        "another-branch",
        "S5.1",
        "pushes to develop are deployed",
        staging_on("on: {push: {branches: [develop]}}"),
        "pushes to main are deployed, in flow style",
        staging_on('"on": {"push": {"branches": ["main"]}}'),
    ),
    Mutant(
        "by-the-clock",
        "S5.1",
        "staging is deployed every night",
        staging_on('on:\n  schedule:\n    - cron: "0 3 * * *"'),
        "the job of the deployment has another name and says its branch",
        edits(
            swap(STAGING, "  deploy:\n", "  to-staging:\n"),
            before(STAGING, "name: Deploy to staging", "if: github.ref == 'refs/heads/main'"),
        ),
    ),
    Mutant(
        "never-on-a-push",
        "S5.1",
        "the job of the deployment is skipped on pushes",
        edits(
            staging_on("on:\n  push:\n    branches: [main]\n  workflow_dispatch:"),
            before(
                STAGING,
                "name: Deploy to staging",
                "if: ${{ github.event_name == 'workflow_dispatch' }}",
            ),
        ),
        "the workflow has another name",
        edits(
            rename(STAGING, ".github/workflows/staging.yaml"),
            swap(PRODUCTION, "workflows/cd-staging.yml", "workflows/staging.yaml"),
        ),
    ),
    Mutant(
        "plan-only",
        "S5.1",
        "staging gets a plan, and nothing more",
        swap(
            STAGING,
            STAGING_APPLY,
            '          python3 -m deploy.release plan staging "sha-$COMMIT"\n',
        ),
        "staging gets a plan first",
        swap(
            STAGING,
            STAGING_APPLY,
            f'          python3 -m deploy.release plan staging "sha-$COMMIT"\n{STAGING_APPLY}',
        ),
        also=frozenset({"S5.2"}),
    ),
    Mutant(
        "not-pushed",
        "S5.2",
        "the image is built and not pushed",
        swap(STAGING, "          push: true\n", "          push: false\n"),
        "the image is pushed as an output",
        swap(STAGING, "          push: true\n", "          outputs: type=image,push=true\n"),
    ),
    Mutant(
        "no-build",
        "S5.2",
        "nothing is built",
        swap_block(STAGING, BUILD, '- id: build\n  run: echo "digest=latest" >> "$GITHUB_OUTPUT"'),
        "a command builds in the action's place",
        swap_block(STAGING, BUILD, BUILD_COMMAND),
    ),
    Mutant(
        "does-not-wait",
        "S5.2",
        "the deployment does not wait for the image",
        edits(
            swap(STAGING, "    needs: build\n", "    needs: ci\n"),
            swap(STAGING, "${{ needs.build.outputs.digest }}", "${{ vars.DIGEST }}"),
        ),
        "the deployment waits for both jobs",
        swap(STAGING, "    needs: build\n", "    needs: [ci, build]\n"),
    ),
    Mutant(
        "another-version",
        "S5.2",
        "what is deployed is not what was built",
        swap(STAGING, 'apply staging "sha-$COMMIT"', "apply staging v1.0.0"),
        "what was built is named in another way",
        swap(STAGING, 'apply staging "sha-$COMMIT"', 'apply staging "sha-${GITHUB_SHA}"'),
    ),
    Mutant(
        "on-a-push",
        "S5.3",
        "a push to main goes to production",
        swap(PRODUCTION, PRODUCTION_TAGS, f"    branches: [main]\n{PRODUCTION_TAGS}"),
        "tags are named more closely",
        swap(PRODUCTION, PRODUCTION_TAGS, "    tags:\n      - 'v[0-9]+.[0-9]+.[0-9]+'\n"),
    ),
    Mutant(
        "on-every-push",
        "S5.3",
        "every push goes to production, as a list",
        edits(production_on("on: [push, workflow_dispatch]"), VERSION_OF_THE_REF),
        "production is deployed by hand alone, as a list",
        edits(production_on("on: [workflow_dispatch]"), VERSION_OF_THE_REF),
    ),
    Mutant(
        "by-the-clock",
        "S5.3",
        "production is deployed every Monday",
        into(PRODUCTION, "on:", 'schedule:\n  - cron: "0 6 * * 1"'),
        "every night something asks how production does",
        create(".github/workflows/nightly.yml", NIGHTLY),
    ),
    Mutant(
        "after-staging",
        "S5.3",
        "production follows when staging has ended",
        into(PRODUCTION, "on:", "workflow_run:\n  workflows: [CD staging]\n  types: [completed]"),
        "release notes follow when staging has ended",
        create(
            ".github/workflows/notes.yml",
            "name: Notes\non:\n  workflow_run:\n    workflows: [CD staging]\n"
            "    types: [completed]\njobs:\n  notes:\n    runs-on: ubuntu-latest\n    steps:\n"
            '      - run: echo "production gets this by a tag" >> "$GITHUB_STEP_SUMMARY"\n',
        ),
    ),
    Mutant(
        "called-from-staging",
        "S5.3",
        "the workflow of staging calls that of production",
        edits(
            into(PRODUCTION, "on:", "workflow_call:"),
            before(STAGING, "deploy:", CALLED_FROM_STAGING),
        ),
        "a workflow that a person starts calls that of production",
        edits(
            into(PRODUCTION, "on:", "workflow_call:"),
            create(".github/workflows/by-hand.yml", BY_HAND),
        ),
        also=frozenset({"S5.4"}),
    ),
    Mutant(
        "another-workflow",
        "S5.3",
        "a second workflow deploys fixes to production",
        create(".github/workflows/hotfix.yml", HOTFIX),
        "a second workflow deploys fixes to production when a person starts it",
        create(
            ".github/workflows/hotfix.yml",
            HOTFIX.replace('  push:\n    branches: ["fix/**"]\n', "  workflow_dispatch:\n").replace(
                "sha-${{ github.sha }}", "${{ github.ref_name }}"
            ),
        ),
        also=frozenset({"S5.4", "S8.3"}),
    ),
    Mutant(
        "action",
        "S5.4",
        "production builds an image by the action",
        before(PRODUCTION, VERIFY, BUILD_STEP),
        "production sets up the tool that reads images",
        before(PRODUCTION, VERIFY, f"- uses: {BUILDX_ACTION}"),
    ),
    Mutant(
        "commands",
        "S5.4",
        "production builds an image by commands on two lines",
        before(
            PRODUCTION,
            VERIFY,
            '- run: |\n    docker build \\\n      -t "registry.example/app:latest" .\n'
            '    docker push "registry.example/app:latest"',
        ),
        "production looks at an image, and a comment speaks of docker build",
        before(
            PRODUCTION,
            VERIFY,
            "- run: |\n    # no docker build here\n"
            '    docker buildx imagetools inspect "registry.example/app:latest"',
        ),
    ),
    Mutant(
        "make",
        "S5.4",
        "production builds an image by make",
        before(PRODUCTION, VERIFY, "- run: make image"),
        "production runs another target of make",
        before(PRODUCTION, VERIFY, "- run: make help"),
    ),
    Mutant(
        "script",
        "S5.4",
        "production builds an image by a script",
        edits(
            script(
                "scripts/image.sh", "set -eu\ndocker compose --file compose.yaml build service\n"
            ),
            before(PRODUCTION, VERIFY, "- run: ./scripts/image.sh"),
        ),
        "production looks at the configuration by a script",
        edits(
            script(
                "scripts/image.sh", "set -eu\ndocker compose --file compose.yaml config --quiet\n"
            ),
            before(PRODUCTION, VERIFY, "- run: ./scripts/image.sh"),
        ),
    ),
    Mutant(
        "action-of-the-project",
        "S5.4",
        "production builds an image by an action of the project",
        edits(
            create(
                ".github/actions/image/action.yml",
                IMAGE_ACTION.replace("COMMAND", 'docker buildx build --push --tag "$IMAGE" .'),
            ),
            before(
                PRODUCTION,
                VERIFY,
                "- uses: ./.github/actions/image\n  with:\n    image: registry.example/app:1",
            ),
        ),
        "production looks at an image by an action of the project",
        edits(
            create(
                ".github/actions/image/action.yml",
                IMAGE_ACTION.replace("COMMAND", 'docker buildx imagetools inspect "$IMAGE"'),
            ),
            before(
                PRODUCTION,
                VERIFY,
                "- uses: ./.github/actions/image\n  with:\n    image: registry.example/app:1",
            ),
        ),
    ),
    Mutant(
        "unverified",
        "S5.4",
        "production takes the newest image, which nothing has verified",
        edits(
            cut(PRODUCTION, VERIFY),
            swap(
                PRODUCTION,
                'run: python3 -m deploy.release promote "$COMMIT" "$VERSION"',
                'run: docker buildx imagetools create --tag "ghcr.io/my-org/kodex-voice:$VERSION" '
                '"ghcr.io/my-org/kodex-voice:latest"',
            ),
        ),
        "production takes the verified image, and lists its tags",
        swap(
            PRODUCTION,
            '        run: python3 -m deploy.release promote "$COMMIT" "$VERSION"\n',
            '        run: |\n          python3 -m deploy.release promote "$COMMIT" "$VERSION"\n'
            '          echo "Promoted $VERSION" >> "$GITHUB_STEP_SUMMARY"\n',
        ),
    ),
    Mutant(
        "noted-before-it-ran",
        "S5.4",
        "the image counts as verified before staging has run it",
        move(STAGING, NOTE, before_head=STAGING_RELEASE),
        "between the deployment and the note stands a step",
        before(STAGING, NOTE, '- run: echo "Staging runs it." >> "$GITHUB_STEP_SUMMARY"'),
    ),
    Mutant(
        "all-at-once",
        "S5.5",
        "all replicas are replaced at the same time",
        edits(
            swap(
                STACK,
                "        order: ${UPDATE_ORDER:-start-first}\n        parallelism: 1\n        # A",
                "        order: stop-first\n        parallelism: 0\n        # A",
            ),
        ),
        "two of four replicas are replaced at the same time",
        edits(
            swap(
                STACK,
                "        order: ${UPDATE_ORDER:-start-first}\n        parallelism: 1\n        # A",
                "        order: stop-first\n        parallelism: 2\n        # A",
            ),
            swap(STACK, "replicas: ${REPLICAS:-2}", "replicas: 4"),
        ),
    ),
    Mutant(
        "one-replica",
        "S5.5",
        "the settings have one replica, which stops before the new one starts",
        edits(
            swap(SETTINGS, "REPLICAS=2", "REPLICAS=1"),
            swap(SETTINGS, "UPDATE_ORDER=", "UPDATE_ORDER=stop-first"),
        ),
        "the settings have three replicas, of which one stops before a new one starts",
        edits(
            swap(SETTINGS, "REPLICAS=2", "REPLICAS=3"),
            swap(SETTINGS, "UPDATE_ORDER=", "UPDATE_ORDER=stop-first"),
        ),
        seen_in=frozenset({STACK}),
    ),
    Mutant(
        "merged-file",
        "S5.5",
        "a file that is merged into the stack replaces all at once, by an anchor",
        create(
            "deploy/stack.fast.yaml",
            'version: "3.13"\nx-update: &update\n  parallelism: 8\n  order: stop-first\n'
            "services:\n  service:\n    deploy:\n      update_config: *update\n",
        ),
        "a file that is merged into the stack replaces more slowly, by an anchor",
        create(
            "deploy/stack.slow.yaml",
            'version: "3.13"\nx-update: &update\n  delay: 60s\n  monitor: 60s\n'
            "services:\n  service:\n    deploy:\n      update_config: *update\n",
        ),
    ),
    Mutant(
        "compose-up",
        "S5.5",
        "production is deployed by docker compose up",
        instead_of_release("docker compose pull", "docker compose up -d"),
        "production looks at the configuration of compose first",
        swap(
            PRODUCTION,
            PRODUCTION_APPLY,
            f"          docker compose config --quiet\n{PRODUCTION_APPLY}",
        ),
        also=frozenset({"S4.7", "S5.2", "S5.4", "S7.1", "S8.2", "S8.3"}),
    ),
    Mutant(
        "stopped-before",
        "S5.5",
        "production is stopped before the new version starts",
        before(
            PRODUCTION,
            RELEASE,
            "- name: Stop the old version\n  run: |\n"
            "    docker service scale kodex-voice-production_service=0",
        ),
        "the services are listed before the new version starts",
        before(
            PRODUCTION,
            RELEASE,
            "- name: List the services\n  run: |\n    docker service ls",
        ),
    ),
)
