//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// members lists the processes of a group. One that has ended but whose parent has not looked yet is none of them.
func members(group int) (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // ended since
		}
		if pid, of, ok := parseStat(string(text)); ok && of == group {
			pids = append(pids, pid)
		}
	}
	return pids
}

// parseStat reads a line "pid (name) state parent group …" of proc(5). The name may hold anything, brackets too. It is
// not ok for a process that has ended.
func parseStat(text string) (pid, group int, ok bool) {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return 0, 0, false
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 3 || fields[0] == "Z" || fields[0] == "X" {
		return 0, 0, false
	}
	pid, err1 := strconv.Atoi(strings.TrimSpace(text[:open]))
	group, err2 := strconv.Atoi(fields[2])
	return pid, group, err1 == nil && err2 == nil
}

// usage is what a process group has taken of the machine.
type usage struct {
	cpu  time.Duration // user and system
	peak int64         // bytes of memory, shared pages counted in each process
}

func usageOf(group int) (usage, error) {
	var sum usage
	for _, pid := range members(group) {
		cpu, err := cpuTime(pid)
		if err != nil {
			return usage{}, err
		}
		peak, err := peakMemory(pid)
		if err != nil {
			return usage{}, err
		}
		sum.cpu, sum.peak = sum.cpu+cpu, sum.peak+peak
	}
	return sum, nil
}

// cpuTime reads the CPU clock of another process: what utime and stime of /proc/PID/stat add up to, in nanoseconds
// instead of ticks of 10 ms. The clock's number is made from the process's as clock_getcpuclockid(3) does it.
func cpuTime(pid int) (time.Duration, error) {
	const schedClock = 2 // CPUCLOCK_SCHED of the kernel: user and system time of all threads
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedClock), &ts); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

func peakMemory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parsePeak(string(text))
}

// parsePeak finds the line "VmHWM:   12345 kB" of proc(5), the most memory that was ever resident.
func parsePeak(text string) (int64, error) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no VmHWM in the status of a process")
}
