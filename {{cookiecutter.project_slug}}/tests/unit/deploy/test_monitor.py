"""What goes to a server to watch a service; the real one is part of the template's tests."""

import json
from pathlib import Path

import pytest

from deploy import monitor
from deploy.errors import DeployError
from deploy.project import Target

MAIL = {
    "ALERT_EMAIL_TO": "team@example.com",
    "ALERT_EMAIL_FROM": "alerts@example.com",
    "ALERT_SMTP": "mail.example.com:587",
}


def target(**values: str) -> Target:
    """Return an environment with these settings."""
    return Target("production", "voice", "image", values)


def test_without_settings_nobody_is_told() -> None:
    # Given neither a web hook nor an address, When the receiver is written, Then it has no line
    assert monitor.receivers(target(), with_hook=False, with_key=False) == ""


def test_a_web_hook_is_named_by_its_file() -> None:
    # Given the secret of a web hook, When written, Then its address is in no file of ours
    (line,) = monitor.receivers(target(), with_hook=True, with_key=False).splitlines()
    key, _, value = line.strip().partition(": ")
    assert key == "webhook_configs"
    hook = {"url_file": "/run/secrets/ALERT_WEBHOOK_URL", "send_resolved": True}
    assert json.loads(value) == [hook]


def test_an_address_gets_mail() -> None:
    # Given an address and a mail server that asks for a password
    here = target(**MAIL, ALERT_SMTP_USER="alerts")
    # When written, Then the password is a file
    line = monitor.receivers(here, with_hook=False, with_key=True)
    (mail,) = json.loads(line.strip().partition(": ")[2])
    assert mail["to"] == "team@example.com"
    assert mail["require_tls"] is True
    assert mail["auth_password_file"] == "/run/secrets/ALERT_SMTP_PASSWORD"


@pytest.mark.parametrize("missing", ["ALERT_EMAIL_FROM", "ALERT_SMTP"])
def test_half_an_address_is_refused(missing: str) -> None:
    # Given an address without what it takes, When written, Then it says what is missing
    with pytest.raises(DeployError, match="ALERT_EMAIL_TO needs"):
        monitor.receivers(target(**{**MAIL, missing: ""}), with_hook=False, with_key=False)


def test_a_user_without_a_password_is_refused() -> None:
    # Given a user of the mail server, When there is no password, Then that is told
    here = target(**MAIL, ALERT_SMTP_USER="alerts")
    with pytest.raises(DeployError, match="needs the secret ALERT_SMTP_PASSWORD"):
        monitor.receivers(here, with_hook=False, with_key=False)


def test_files_have_the_environments_settings() -> None:
    # Given an environment with an address that callers use
    here = target(PUBLIC_URL="https://voice.example.com", **MAIL)
    # When the files are prepared
    with monitor.files(here, {"ALERT_WEBHOOK_URL": "x"}) as folder:
        # Then the probe asks there, and both receivers end Alertmanager's file
        probe = json.loads((folder / "targets" / "probe.json").read_text())
        assert probe == [{"targets": ["https://voice.example.com"]}]
        # And every series and alert says whose it is
        labels = '  external_labels: {"project": "voice", "environment": "production"}'
        assert labels in (folder / "prometheus.yml").read_text().splitlines()
        lines = (folder / "alertmanager.yml").read_text().splitlines()
        assert [line.partition(":")[0].strip() for line in lines[-2:]] == [
            "webhook_configs",
            "email_configs",
        ]
    # And they are gone afterwards; the project's own are as they were
    assert not folder.exists()
    assert "webhook" not in (monitor.SOURCE / "alertmanager.yml").read_text().lower()


def test_every_file_of_the_folder_goes_to_its_container(tmp_path: Path) -> None:
    # Given a rule of the team's
    with monitor.files(target(), {}) as folder:
        (folder / "rules" / "ours.yml").write_text("groups: []\n")
        # When it is told what goes where
        model = monitor.fragment(target(GRAFANA_PORT="3000"), folder, {"GRAFANA_PASSWORD": "x"})
    # Then the rule is there, without a line in any file
    mounts = {
        mount["target"]: mount["source"]
        for service in model["services"].values()
        for mount in service["configs"]
    }
    assert "/etc/prometheus/rules/ours.yml" in mounts
    assert "/etc/grafana/provisioning/datasources/prometheus.yml" in mounts
    assert set(mounts.values()) == model["configs"].keys()
    # And each has a name of its own, short enough for Docker
    names = [config["name"] for config in model["configs"].values()]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) < 64
    # And Grafana has its password as a file, and its port
    grafana = model["services"]["grafana"]
    assert grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"].startswith("/run/secrets/")
    assert grafana["ports"][0]["published"] == 3000


@pytest.mark.parametrize("port", ["grafana", "0", "70000"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    # Given a port that is none, When it is read, Then that is told
    with pytest.raises(DeployError, match="GRAFANA_PORT"):
        monitor.grafana_port(target(GRAFANA_PORT=port))
