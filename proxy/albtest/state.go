package albtest

// State is a target's, as DescribeTargetHealth has it.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
type State string

const (
	// Initial targets are being registered or have not passed a check yet.
	Initial State = "initial"
	// Healthy targets get requests.
	Healthy State = "healthy"
	// Unhealthy targets get requests only when no target is healthy.
	Unhealthy State = "unhealthy"
	// Unused targets are registered in a group that no listener forwards to,
	// or are not registered.
	Unused State = "unused"
	// Draining targets were deregistered and finish what they have.
	Draining State = "draining"
)

// ReasonCode says why a target is in a state other than healthy.
type ReasonCode string

// The reason codes that the emulator gives.
const (
	RegistrationInProgress   ReasonCode = "Elb.RegistrationInProgress"
	InitialHealthChecking    ReasonCode = "Elb.InitialHealthChecking"
	ResponseCodeMismatch     ReasonCode = "Target.ResponseCodeMismatch"
	Timeout                  ReasonCode = "Target.Timeout"
	FailedHealthChecks       ReasonCode = "Target.FailedHealthChecks"
	NotRegistered            ReasonCode = "Target.NotRegistered"
	NotInUse                 ReasonCode = "Target.NotInUse"
	DeregistrationInProgress ReasonCode = "Target.DeregistrationInProgress"
)

// Health is the health of one target.
type Health struct {
	Target      string // ip:port
	State       State
	Reason      ReasonCode // empty when healthy
	Description string     // in AWS's words: "Health checks failed with these codes: [301]"
}
