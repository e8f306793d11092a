package main

import (
	"os/exec"
	"syscall"
)

// bind has the system end the program if this process is killed before it can
// do so itself, and keeps the terminal's Ctrl-C from it: the demo ends it last.
func bind(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
