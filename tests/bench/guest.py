# SPDX-License-Identifier: Apache-2.0
"""A QEMU guest with the driver, whose board is a process on this host: sluice-peer in the guest, as a
side that takes turns with sluice-peer on this host."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent

sys.path.insert(0, str(HERE.parent / "vm"))
sys.dont_write_bytecode = True
import guests  # noqa: E402  (its folder has to be known first)

MEMORY = "1792M"  # of the guest; its DMA reaches less than 2 GiB
BOOT_LIMIT = 180  # seconds until the model is loaded

INIT = """#!/bin/sh
. /guest.sh
stty -F /dev/ttyS1 raw -echo
exec >/dev/ttyS1 2>/dev/ttyS0 </dev/ttyS1
sh /modules.sh
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,ro models /models
insmod /sluice.ko
sluicectl bench --json | tr -d '\n'
echo
# What the guest's own CPU makes of the small model, and what its board does.
for device in cpu /dev/sluice0; do
  echo | sluice-peer --device $device bench /models/{small} {n_prompt} {n_decode} 1 | tail -n 1
done
sluice-peer --device /dev/sluice0 bench /models/{model} 0 {n_tokens} 1
poweroff -f
"""


class Guest:
    """Boots at once; `side` takes turns, `access` is what `sluicectl bench` says, `small` what the guest's CPU
    and its board reach with the small model."""

    def __init__(self, build, side_class, models, small, model, n_tokens, bar):
        self.folder = tempfile.TemporaryDirectory(prefix="sluice-bench-", dir="/dev/shm")
        folder = Path(self.folder.name)
        kernel = next((build / "vm").glob("vmlinuz-*"))
        init = INIT.format(small=small, model=model, n_prompt=64, n_decode=16, n_tokens=n_tokens)
        image = guests.Initramfs(init, build / "kernel" / "sluice.ko")
        image.directory("models")
        image.programs(build / "bin" / "sluice-peer", build / "bin" / "sluicectl")
        modules = str(kernel).replace("vmlinuz", "modules")
        image.text("modules.sh", image.modules(modules, ["virtio_pci", "9p", "9pnet_virtio"]))
        self.emulator = subprocess.Popen([build / "bin" / "sluice-emu", "--ivshmem", folder / "board", "--guest-memory",
                                          folder / "ram", "--memory", bar, "--threads", "1"],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (folder / "board").exists() and self.emulator.poll() is None:
            time.sleep(0.05)
        command = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35,memory-backend=ram", "-cpu", "max", "-smp", "1",
                   "-m", MEMORY, "-object", f"memory-backend-file,id=ram,share=on,mem-path={folder}/ram,size={MEMORY}",
                   "-nodefaults", "-display", "none", "-no-reboot", "-kernel", kernel, "-initrd", image.write(folder),
                   # The guest's clock is read without a system call.
                   "-append", "console=ttyS0 loglevel=4 panic=-1 nokaslr tsc=reliable clocksource=tsc",
                   "-serial", f"file:{folder}/console", "-serial", "stdio",
                   "-chardev", f"socket,path={folder}/board,id=board", "-device", "ivshmem-doorbell,chardev=board,vectors=8",
                   "-virtfs", f"local,path={models},mount_tag=models,security_model=none,readonly=on"]
        self.side = None
        try:
            self.side = side_class(*command, name="guest", limit=BOOT_LIMIT)
            self.access, *self.small = [json.loads(line) for line in self.side.before]
        except BaseException:
            self.end()
            raise

    def pids(self):
        return [self.emulator.pid, self.side.process.pid]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        if self.side:
            self.side.__exit__()
        self.emulator.terminate()
        self.emulator.wait(10)
        self.folder.cleanup()
