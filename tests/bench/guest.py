# SPDX-License-Identifier: Apache-2.0
"""A QEMU guest with the driver, whose board is a process on this host: sluice-peer in the guest, as a
side that takes turns with sluice-peer on this host."""

import importlib.machinery
import importlib.util
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent

# What the tests have for making an initramfs.
_loader = importlib.machinery.SourceFileLoader("vm_run", str(HERE.parent / "vm" / "run"))
vm = importlib.util.module_from_spec(importlib.util.spec_from_loader("vm_run", _loader))
_loader.exec_module(vm)

MEMORY = "1792M"  # of the guest; its DMA reaches less than 2 GiB
BOOT_LIMIT = 180  # seconds until the model is loaded

INIT = """#!/bin/sh
export PATH=/bin HOME=/tmp
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tmpfs none /tmp
stty -F /dev/ttyS1 raw -echo
exec >/dev/ttyS1 2>/dev/ttyS0 </dev/ttyS1
{modules}mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,ro models /models
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
        image = vm.Initramfs()
        for name in ("proc", "sys", "dev", "tmp", "models"):
            image.directory(name)
        image.console()
        image.file("bin/busybox", "/bin/busybox")
        for applet in subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True,
                                     text=True).stdout.split():
            if applet != "busybox":
                image.link("bin/" + applet, "busybox")
        programs = [build / "bin" / name for name in ("sluice-peer", "sluicectl")]
        for program in programs:
            image.file("bin/" + program.name, program)
        for library in vm.shared_libraries(*programs):
            image.file(library.lstrip("/"), library)
        image.file("sluice.ko", build / "kernel" / "sluice.ko", 0o644)
        kernel = next((build / "vm").glob("vmlinuz-*"))
        loads = image.modules(str(kernel).replace("vmlinuz", "modules"), ["virtio_pci", "9p", "9pnet_virtio"])
        image.text("init", INIT.format(modules=loads, small=small, model=model, n_prompt=64, n_decode=16,
                                       n_tokens=n_tokens), 0o755)
        (folder / "initramfs").write_bytes(image.bytes())
        self.emulator = subprocess.Popen([build / "bin" / "sluice-emu", "--ivshmem", folder / "board", "--guest-memory",
                                          folder / "ram", "--memory", bar, "--threads", "1"],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (folder / "board").exists() and self.emulator.poll() is None:
            time.sleep(0.05)
        command = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35,memory-backend=ram", "-cpu", "max", "-smp", "1",
                   "-m", MEMORY, "-object", f"memory-backend-file,id=ram,share=on,mem-path={folder}/ram,size={MEMORY}",
                   "-nodefaults", "-display", "none", "-no-reboot", "-kernel", kernel, "-initrd", folder / "initramfs",
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
