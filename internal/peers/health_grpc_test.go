//go:build linux

package peers

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	_ "google.golang.org/grpc/health" // the client's half of it
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/knownhops/knownhops/healthcheck"
)

func quietLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// serveHealth serves until the end of the test: HTTP/1.1 and h2c, or with TLS and HTTP/2.
func serveHealth(t *testing.T, h *healthcheck.Health, secure bool) door {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := healthcheck.ALB()
	p.H2C = true
	srv := healthcheck.NewServer("", h.Wrap(http.NotFoundHandler()), p)
	serve := srv.Serve
	if secure {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate(t).pair}}
		serve = func(ln net.Listener) error { return srv.ServeTLS(ln, "", "") }
	}
	done := make(chan error, 1)
	go func() { done <- serve(ln) }()
	t.Cleanup(func() { _ = srv.Close(); require.ErrorIs(t, <-done, http.ErrServerClosed) })
	return door{addr: ln.Addr().String(), tls: secure}
}

func dialHealth(t *testing.T, d door) *grpc.ClientConn {
	t.Helper()
	creds := insecure.NewCredentials()
	if d.tls {
		creds = credentials.NewTLS(&tls.Config{RootCAs: certificate(t).pool, ServerName: frontHost})
	}
	conn, err := grpc.NewClient("passthrough:///"+d.addr, grpc.WithTransportCredentials(creds), grpc.WithDisableServiceConfig(), grpc.WithNoProxy())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// The health checks of gRPC as its own client asks them, and ALB's default one.
func TestHealthOverGRPC(t *testing.T) {
	for name, secure := range map[string]bool{"h2c": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			h := plainHealth(t)
			conn := dialHealth(t, serveHealth(t, h, secure))
			client := grpc_health_v1.NewHealthClient(conn)
			t.Run("check", func(t *testing.T) { grpcChecks(t, client, grpc_health_v1.HealthCheckResponse_SERVING) })
			t.Run("unknown", func(t *testing.T) { grpcUnknown(t, client) })
			t.Run("ALB", func(t *testing.T) { require.Equal(t, codes.Unimplemented, albCode(t, conn)) })
			stream := grpcWatch(t, client)
			h.Drain()
			t.Run("watched drain", func(t *testing.T) { grpcWatchedDrain(t, stream) })
			t.Run("check of a drain", func(t *testing.T) {
				grpcChecks(t, client, grpc_health_v1.HealthCheckResponse_NOT_SERVING)
				require.Equal(t, codes.Unavailable, albCode(t, conn))
			})
		})
	}
}

// grpcChecks asks for all service names; a drain changes readiness alone.
func grpcChecks(t *testing.T, client grpc_health_v1.HealthClient, ready grpc_health_v1.HealthCheckResponse_ServingStatus) {
	const serving = grpc_health_v1.HealthCheckResponse_SERVING
	for service, want := range map[string]grpc_health_v1.HealthCheckResponse_ServingStatus{
		"": ready, "readiness": ready, "liveness": serving, "startup": serving,
	} {
		for _, opts := range [][]grpc.CallOption{nil, {grpc.WaitForReady(true)}} {
			resp, err := client.Check(grpcContext(t), &grpc_health_v1.HealthCheckRequest{Service: service}, opts...)
			require.NoError(t, err, "%q", service)
			require.Equal(t, want, resp.GetStatus(), "%q", service)
		}
	}
}

// grpcUnknown asks what is not there. health.proto: Check ends with NOT_FOUND, Watch says SERVICE_UNKNOWN and goes on.
func grpcUnknown(t *testing.T, client grpc_health_v1.HealthClient) {
	_, err := client.Check(grpcContext(t), &grpc_health_v1.HealthCheckRequest{Service: "shop.Cart"})
	require.Equal(t, codes.NotFound, status.Code(err))
	stream, err := client.Watch(grpcContext(t), &grpc_health_v1.HealthCheckRequest{Service: "shop.Cart"})
	require.NoError(t, err)
	resp, err := stream.Recv()
	require.NoError(t, err)
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN, resp.GetStatus())

	_, err = client.List(grpcContext(t), new(grpc_health_v1.HealthListRequest))
	require.Equal(t, codes.Unimplemented, status.Code(err))
	_, err = client.Check(grpcContext(t), &grpc_health_v1.HealthCheckRequest{Service: "readiness"}, grpc.UseCompressor(gzip.Name))
	require.Contains(t, []codes.Code{codes.InvalidArgument, codes.Unimplemented}, status.Code(err), "compression is refused, in words")
}

// albCode is what ALB's default health check gets.
func albCode(t *testing.T, conn *grpc.ClientConn) codes.Code {
	return status.Code(conn.Invoke(grpcContext(t), "/AWS.ALB/healthcheck", new(emptypb.Empty), new(emptypb.Empty)))
}

func grpcWatch(t *testing.T, client grpc_health_v1.HealthClient) grpc.ServerStreamingClient[grpc_health_v1.HealthCheckResponse] {
	t.Helper()
	stream, err := client.Watch(grpcContext(t), new(grpc_health_v1.HealthCheckRequest))
	require.NoError(t, err)
	resp, err := stream.Recv()
	require.NoError(t, err)
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, resp.GetStatus())
	return stream
}

func grpcWatchedDrain(t *testing.T, stream grpc.ServerStreamingClient[grpc_health_v1.HealthCheckResponse]) {
	resp, err := stream.Recv()
	require.NoError(t, err)
	require.Equal(t, grpc_health_v1.HealthCheckResponse_NOT_SERVING, resp.GetStatus())
	_, err = stream.Recv()
	require.Equal(t, codes.Unavailable, status.Code(err))
}

// gRPC's client takes a server out by itself when its health service says so: with client-side health checking the calls
// go elsewhere, and here, where there is no other, wait.
func TestHealthOfGRPCClientSide(t *testing.T) {
	h := plainHealth(t)
	d := serveHealth(t, h, false)
	conn, err := grpc.NewClient("passthrough:///"+d.addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}],"healthCheckConfig":{"serviceName":""}}`))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.Equal(t, codes.Unimplemented, albCode(t, conn))
	h.Drain()
	require.Eventually(t, func() bool { return albCode(t, conn) == codes.Unavailable }, exchangeTime, 10*time.Millisecond)
}
