"""bgpd's vty socket without bgpd: keeps a configuration as FRR 8.4.4 shows it (recorded), answers as it answers, and can be made to misbehave."""
import os
import re
import socket
import threading

HEAD = "frr version 8.4.4\nfrr defaults traditional\n!\nhostname node\n!\n"
NO_MATCH = 2


class Block:
    def __init__(self):
        self.lines, self.inner = [], {}


class StandIn:
    def __init__(self, path, group):
        self.group = group
        self.path, self.blocks, self.lists, self.said, self.connections = path, {}, [], [], 0
        self.refuse, self.odd = None, None  # a pattern of commands that are refused; bytes instead of answers
        self.open = set()
        self.start()

    def start(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        os.chown(self.path, self.group, self.group)  # as FRR does: of nobody else
        os.chmod(self.path, 0o770)
        self.listener.listen()
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        """It restarts with nothing."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.path.unlink()
        for s in list(self.open):
            s.shutdown(socket.SHUT_RDWR)
        self.blocks, self.lists = {}, []

    def accept(self, listener):
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.add(s)
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        at, pending = [], b""
        try:
            while part := s.recv(65536):
                pending += part
                while b"\0" in pending:
                    command, pending = pending.split(b"\0", 1)
                    s.sendall(self.odd or self.answer(command.decode(), at))
        except OSError:
            pass
        finally:
            self.open.discard(s)
            s.close()

    def answer(self, command, at):
        self.said.append(command)
        status, text = 0, ""
        if self.refuse and re.search(self.refuse, command):
            status, text = NO_MATCH, f"% Unknown command: {command}\n"
        elif command == "show running-config":
            text = self.config()
        elif command == "configure terminal":
            at[:] = ["config"]
        elif command == "end":
            at.clear()
        elif command == "exit":
            at.pop()
        elif command.startswith("show "):
            text = "{}"
        elif command != "enable":
            self.configure(command, at)
        return text.encode() + b"\0\0\0" + bytes([status])

    def configure(self, command, at):
        off = command.startswith("no ")
        if len(at) == 1 and re.match(r"(no )?(router bgp|route-map) ", command):
            name = command[3:] if off else command
            if off:
                self.blocks.pop(name, None)
            else:
                self.blocks.setdefault(name, Block())
                at.append(name)
        elif len(at) == 1:
            if command[3:] in self.lists:
                self.lists.remove(command[3:])
            elif not off:
                self.lists.append(command)
        elif command.startswith("address-family "):
            self.blocks[at[1]].inner.setdefault(command, [])
            at.append(command)
        else:
            block = self.blocks[at[1]]
            lines = block.inner[at[2]] if len(at) == 3 else block.lines
            neighbour = re.fullmatch(r"no (neighbor \S+)", command)
            if neighbour:
                for some in (block.lines, *block.inner.values()):
                    some[:] = [line for line in some if not line.startswith(neighbour[1] + " ")]
            elif off and command[3:] in lines:
                lines.remove(command[3:])
            elif command not in lines:
                lines.append(command)

    def config(self):
        text = HEAD
        for name, block in self.blocks.items():
            if name.startswith("router"):
                text += f"{name}\n" + "".join(f" {line}\n" for line in block.lines)
                for inner, lines in block.inner.items():
                    text += f" !\n {inner}\n" + "".join(f"  {line}\n" for line in lines) + " exit-address-family\n"
                text += "exit\n!\n"
        for i, line in enumerate(self.lists):
            text += re.sub(r"(prefix-list \S+) ", rf"\1 seq {5 * i + 5} ", line) + "\n"
        for name, block in self.blocks.items():
            if not name.startswith("router"):
                text += f"!\n{name}\n" + "".join(f" {line}\n" for line in block.lines) + "exit\n"
        return text + "!\nend\n"
