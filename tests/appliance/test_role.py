"""What the role says twice, because a control node has no gateway to ask."""

from __future__ import annotations

import yaml
from appliance.playbook import REPOSITORY

from gateway.config.check import RESTART_KEYS

VARIABLES = REPOSITORY / "ansible/collections/ansible_collections/ostiary/gateway/roles/ostiary/vars/main.yml"


def test_the_role_knows_each_key_that_needs_a_restart() -> None:
    known = yaml.safe_load(VARIABLES.read_text())["ostiary_restart_keys"]
    for key in RESTART_KEYS:
        assert any(key == each or key.startswith(f"{each}.") for each in known), key
