//go:build !race

package proxy

// raceEnabled: the race detector allocates, and is slow.
const raceEnabled = false
