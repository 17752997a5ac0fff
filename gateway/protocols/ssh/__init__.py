"""SSH (RFC 4250 to 4254; shared/ssh.md for the traps), on asyncssh, on the reactor's own loop.

algorithms   which ones the gateway speaks
ciphers      AEAD for asyncssh, with less per packet
transport    the seam to asyncssh: connections and channels with bounds and backpressure
startup      what a user name asks for                                             pure
commands     what a command says: the old scp protocol, secrets in it               pure
operation    requests and file actions -> `gateway.model.SshOperation`              pure
paths        a path as written, as decided on, as it really is                      pure
files        a question about files, content as it passes, what was done            pure
sftp_wire    SFTP version 3: packets and types                                      pure
sftp_asking  what is found out and asked before one SFTP request goes on            pure
sftp         the state machine of one SFTP channel                                  pure
locating     asks a target where its paths lead, where the caller's channel can't   pure
scp          the state machine of one channel with the old protocol of scp          pure
turns        key exchanges, one in each turn of the loop
typed        what of a terminal's input may be kept                                 pure
line         the line that is edited in a terminal, by its keys and as it is shown  pure
advice       what policy says of such lines: warn, hold at Enter, refuse, end
forcing      what runs instead of what was asked for                                pure
server       the caller's side, up to the end of its login
upstream     login towards the target, its host key
traffic      one session's channels, from login to its end
channel      one channel: the corridor, then data both ways
tunnels      the seam to asyncssh, where channels carry connections
forwards     what a session forwards, listens for and lends
forward      one forwarded connection
lobby        logins that name no target: a menu, or a jump
menu         what the menu shows, and what is typed                                 pure
jump         ProxyJump: SSH within a channel, host certificates for targets
consent      asks about one request, and waits for people
errors       our errors as SSH's own

One session:

    caller            server        gate       target
      | key exchange, authentication  |           |
      |                 |-- admit --->|           |
      |                 |-- begin recording       |
      |                 |------ host key, login ->|
      |<-- USERAUTH_SUCCESS ----------------------|
      | channel, exec   channel -> corridor -> commit -> the same at the target
      |<-- output       recording <---------------|
"""

from gateway.protocols.ssh.server import Options, Service, server_options
from gateway.protocols.ssh.upstream import Dialler

__all__ = ["Dialler", "Options", "Service", "server_options"]
