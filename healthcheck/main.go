package healthcheck

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
)

// subcommand is the argument that makes a program probe itself.
const subcommand = "healthcheck"

// Main makes a program its own container health check, for images without a
// shell or curl. It is the first line of main:
//
//	func main() {
//		healthcheck.Main("http://127.0.0.1:8080/livez")
//		…
//
// Unless the program's first argument is "healthcheck" it returns at once and
// does nothing. Otherwise it probes the URL ([Probe]) and exits: with 0 if
// all is well, and else with 1 and a line on standard error. The URL is the
// program's second argument, or the environment variable HEALTHCHECK_URL, or
// the one given here, or /livez on port PORT, or 8080, of 127.0.0.1.
//
// ECS asks for it with "command": ["CMD", "/app", "healthcheck"], a Dockerfile
// with HEALTHCHECK CMD ["/app", "healthcheck"]. Whether a container is to be
// replaced is a question for liveness, not for readiness.
func Main(url string) {
	if code, ok := runMain(os.Args[1:], url, os.Getenv, os.Stderr); ok {
		os.Exit(code)
	}
}

// runMain is Main with its surroundings; ok: the program is to exit.
func runMain(args []string, url string, env func(string) string, stderr io.Writer) (code int, ok bool) {
	if len(args) == 0 || args[0] != subcommand {
		return 0, false
	}
	asked := ""
	if len(args) > 1 {
		asked = args[1]
	}
	url = cmp.Or(asked, env("HEALTHCHECK_URL"), url, "http://127.0.0.1:"+cmp.Or(env("PORT"), "8080")+livePath)
	if err := Probe(context.Background(), url); err != nil {
		fmt.Fprintln(stderr, err)
		return 1, true
	}
	return 0, true
}
