//go:build !race

package healthcheck

// loadRate is how many requests a second a load sends.
const loadRate = 200
