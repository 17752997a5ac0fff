"""SSH (RFC 4250 to 4254; shared/ssh.md for the traps).

commands     what a command says: the old scp protocol, secrets in it               pure
operation    requests and file actions -> `gateway.model.SshOperation`              pure
paths        a path as written, as decided on, as it really is                      pure
files        a question about files, content as it passes, what was done            pure
sftp_wire    SFTP version 3: packets and types                                      pure
sftp_asking  what is found out and asked before one SFTP request goes on            pure
sftp         the state machine of one SFTP channel                                  pure
locating     asks a target where its paths lead, where the caller's channel can't   pure
scp          the state machine of one channel with the old protocol of scp          pure
"""
