package albtest

// view is what one node thinks of one target.
type view struct {
	state  State
	why    verdict
	passed int // checks in a row
	failed int // checks in a row
	checks int // in all
}

// newView is that of a target that was just registered.
func newView() *view {
	return &view{state: Initial, why: verdict{RegistrationInProgress, "Target registration is in progress"}}
}

// begin says that the target's first check is under way.
func (v *view) begin() {
	if v.checks == 0 {
		v.why = verdict{InitialHealthChecking, "Initial health checks in progress"}
	}
}

// record takes in the result of a check. A target that was just registered has
// to pass one check; one that failed, HealthyThreshold in a row.
func (v *view) record(found verdict, check HealthCheck, u Unknowns) {
	v.checks++
	if found.passed() {
		v.passed, v.failed = v.passed+1, 0
		if v.state == Initial || v.passed >= check.HealthyThreshold {
			v.state, v.why = Healthy, verdict{}
		}
		return
	}
	v.passed, v.failed = 0, v.failed+1
	decided := v.state == Initial && !u.InitialUntilThreshold
	if v.state == Unhealthy || decided || v.failed >= check.UnhealthyThreshold {
		v.state, v.why = Unhealthy, found
	}
}

// worse orders the states that a view can have.
func (s State) worse(than State) bool { return s.rank() > than.rank() }

func (s State) rank() int {
	switch s {
	case Healthy:
		return 0
	case Initial:
		return 1
	default:
		return 2
	}
}
