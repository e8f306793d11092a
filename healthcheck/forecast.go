package healthcheck

import (
	"fmt"
	"time"
)

// A forecast says how long a drain takes by what the probers have shown.
type forecast struct {
	needs   time.Duration // until the slowest prober has had its failing answers, at worst; zero: nobody probes
	slowest Prober
	hidden  bool          // what is needed is for somebody who is not observed
	because string        // the sum in words
	total   time.Duration // the drain as a whole, as the profile bounds it
	advice  []string      // what does not fit
}

// foresee looks at who probes, and by which profile the server is drained. An
// unknown profile is one of zeros.
func foresee(probers []Prober, p Profile) forecast {
	var f forecast
	for _, one := range probers {
		every := orElse(one.Every, orElse(p.ProbeInterval, assumedInterval))
		needs, because := every*time.Duration(p.unhealthyThreshold()), fmt.Sprintf("%d failing answers, one every %v", p.unhealthyThreshold(), rounded(every))
		if (one.Mixed || p.SharedAddress) && p.takeOut() > needs {
			needs, because = p.takeOut(), "who asks cannot be told apart there, so the time is the profile's"
		}
		if one.Active && needs > f.needs {
			f.needs, f.because, f.slowest = needs, because, one
		}
	}
	if f.needs > 0 {
		f.total = min(f.needs+p.quiet(), p.wait()) + p.shutdown()
		f.advise(p)
	}
	return f
}

// who is waited for.
func (f *forecast) who() string {
	if f.hidden {
		return "whoever asks through a proxy, or found no room in the table,"
	}
	return "the slowest prober, " + f.slowest.name() + ","
}

// hide adds that somebody asks who is not observed.
func (f *forecast) hide(hidden bool, p Profile) {
	if !hidden {
		return
	}
	f.advice = append(f.advice, "Readiness is asked for through a proxy that adds forwarding headers, or by more addresses than the table holds, so a balancer's probes cannot be told from visitors: a drain waits as long as the profile says that they need. Let the balancer probe this process itself, and nobody else, to have it observed.")
	if p.takeOut() > f.needs {
		f.needs, f.because, f.hidden = p.takeOut(), "who asks is not observed, so the time is the profile's", true
		f.total = min(f.needs+p.quiet(), p.wait()) + p.shutdown()
		f.slowest = Prober{}
		f.advise(p)
	}
}

// advise compares what is needed with what there is.
func (f *forecast) advise(p Profile) {
	if every := f.slowest.Every; every > 0 && every < p.ProbeInterval*9/10 && !p.SharedAddress {
		f.advice = append(f.advice, fmt.Sprintf("Probes come every %v, more often than the profile says (%v). If several probers share the address, through NAT or a NodePort, set Profile.SharedAddress, or a drain ends too early; otherwise set Profile.ProbeInterval to what it is.",
			rounded(every), rounded(p.ProbeInterval)))
	}
	if f.needs > p.wait() {
		f.advice = append(f.advice, fmt.Sprintf("The wait ends after %v (Profile.Wait), before the slowest prober has had its failing answers. Probe at least every %v, or raise Wait to %v and the kill budget of the platform (ECS stopTimeout, terminationGracePeriodSeconds, TimeoutStopSec) to %v.",
			rounded(p.wait()), (p.wait()/time.Duration(p.unhealthyThreshold())).Truncate(time.Second), rounded(f.needs), rounded(f.needs+p.quiet()+p.shutdown())))
	}
	if p.KillBudget > 0 && f.total > p.KillBudget {
		f.advice = append(f.advice, fmt.Sprintf("The platform kills the process after %v (Profile.KillBudget), and a drain takes up to %v. Probe more often, or raise the kill budget.",
			rounded(p.KillBudget), rounded(f.total)))
	}
}

// rounded is d without what nobody reads.
func rounded(d time.Duration) time.Duration {
	switch {
	case d > 10*time.Second:
		return d.Round(time.Second)
	case d > time.Second:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}
