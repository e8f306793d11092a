//go:build race

package healthcheck

// loadRate is how many requests a second a load sends: fewer than without the
// race detector, which makes each of them several times as expensive.
const loadRate = 50
