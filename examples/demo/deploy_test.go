package main

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A deploy as the page runs it, with a clock of its own.
func deployed(t *testing.T, naive bool) (v *deployView) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployment(naive, true)
		began := time.Now()
		d.run()
		if took := time.Since(began); took > 25*time.Second {
			t.Errorf("it takes %v", took)
		}
		v = d.view()
	})
	return v
}

func TestDeployLosesNothing(t *testing.T) {
	v := deployed(t, false)
	if v.Lost > 0 || v.Mistaken != "" || v.Step != "" {
		t.Errorf("%d lost, %s %s %s", v.Lost, v.Why, v.Mistaken, v.Step)
	}
	if v.Sent < 10*perSecond || v.First < perSecond || v.First+v.Second != v.Sent {
		t.Errorf("of %d, one answered %d and the other %d", v.Sent, v.First, v.Second)
	}
	log := strings.Join(v.Log, "\n")
	for _, want := range []string{
		"the drain begins", "readiness answers 503 from now on", "2 of 2 probers have had 2 failing answers", "nothing was lost", "it is over",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is not in the log:\n%s", want, log)
		}
	}
}

func TestDeployWithoutADrain(t *testing.T) {
	if v := deployed(t, true); v.Lost < perSecond {
		t.Errorf("only %d lost of %d: then there is nothing to see", v.Lost, v.Sent)
	}
}

func TestDeployPage(t *testing.T) {
	d := startDemo(t, config{})
	page := get(t, d, "/deploy")
	if !strings.Contains(page, `href="/deploy" aria-current="page"`) || strings.Contains(page, `http-equiv`) || strings.Contains(plain(page), "Requests") {
		t.Errorf("of none:\n%s", page)
	}
	latest := newDeployment(false, false)
	latest.note("10.0.24.11", nil)
	latest.note("", context.Canceled)
	d.deploys.latest = latest
	page = get(t, d, "/deploy")
	for _, want := range []string{`<meta http-equiv="refresh" content="1">`, "disabled", `href="/details/deploy"`} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in\n%s", want, page)
		}
	}
	for _, want := range []string{"At the moment: two instances start.", "Requests 2 Lost 1 the last with context canceled Answered by 10.0.24.11 1"} {
		if !strings.Contains(plain(page), want) {
			t.Errorf("%q is not in\n%s", want, plain(page))
		}
	}
	d.deploys.begin(true)
	if d.deploys.last() != latest {
		t.Error("a second one begins")
	}
	if page := get(t, d, "/details/deploy"); !strings.Contains(page, `"Ready."`) {
		t.Errorf("not its details: %s", page)
	}
}

// What an operator reads about each target that healthcheck answers for.
func TestDetailsOnThePage(t *testing.T) {
	d := startDemo(t, config{})
	index := get(t, d, "/")
	for group, wants := range map[string][]string{
		"web-80": {`"description": "Ready."`, `"agent": "ELB-HealthChecker/2.0"`, `"address": "10.0.`},
		"down":   {"Not ready: application (local) is ", "connection refused"},
	} {
		if !strings.Contains(index, `href="/details/`+group+`"`) {
			t.Errorf("no link to %s", group)
		}
		o, err := scene{URL: d.ways.Page + "/details/" + group}.play(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(o.Body), want) {
				t.Errorf("%q is not in\n%s", want, o.Body)
			}
		}
	}
	for path, lines := range map[string][]string{
		"/details/web-443": nil, "/details/none": nil, "/details/deploy": nil,
		"/details/web-80": {"X-Forwarded-For: 203.0.113.7"}, "/details/down": {"Host: rebound.example"},
	} {
		o, err := scene{URL: d.ways.Page + path, Lines: lines}.play(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if o.Answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s %v: %s", path, lines, o.Answer.Status)
		}
	}
}

// Nobody waits for a deploy that is under way.
func TestStopDuringADeploy(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-page", "0")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var out logBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`(http://127\.0\.0\.1:\d+)/deploy ends`)
	for !address.MatchString(out.String()) && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	if !address.MatchString(out.String()) {
		t.Fatalf("it never said where:\n%s", out.String())
	}
	url := address.FindStringSubmatch(out.String())[1] + "/deploy"
	request := func(header, value string) int {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(header, value)
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	defer http.DefaultClient.CloseIdleConnections()
	if code := request("Sec-Fetch-Site", "cross-site"); code != http.StatusForbidden {
		t.Errorf("another site presses the button: %d", code)
	}
	if code := request("Sec-Fetch-Site", "same-origin"); code != http.StatusSeeOther {
		t.Errorf("the button: %d", code)
	}
	began := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v:\n%s", err, out.String())
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("it takes %v to stop", took)
	}
}
