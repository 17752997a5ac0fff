"""One folder per protocol; no folder imports another.

Each holds the same six names: ``wire`` (bytes to messages), ``relay`` (the state machine of one session),
``operation`` (messages to `gateway.model.Operation`), ``server`` (the client's side, a thin Twisted protocol),
``upstream`` (login towards the target) and ``errors`` (our errors as the protocol's own).
"""
