//go:build linux

package peers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/knownhops/knownhops/proxy"
)

// The metadata that the service returns, as gRPC's own interoperability tests name it.
const (
	echoHeader  = "x-grpc-test-echo-initial"
	echoTrailer = "x-grpc-test-echo-trailing-bin"
)

// A grpcService is gRPC's test service, as far as a proxy can get in its way.
type grpcService struct {
	pb.UnimplementedTestServiceServer
	forwardedFor chan []string // what the proxy says of the client, of each EmptyCall
	ended        chan string   // the error of each context that ends before its call
}

func (s *grpcService) EmptyCall(ctx context.Context, _ *pb.Empty) (*pb.Empty, error) {
	s.forwardedFor <- metadata.ValueFromIncomingContext(ctx, "x-forwarded-for")
	return new(pb.Empty), nil
}

func (s *grpcService) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	_ = grpc.SetHeader(ctx, metadata.MD{echoHeader: metadata.ValueFromIncomingContext(ctx, echoHeader)})
	_ = grpc.SetTrailer(ctx, metadata.MD{echoTrailer: metadata.ValueFromIncomingContext(ctx, echoTrailer)})
	if want := in.GetResponseStatus(); want != nil {
		return nil, status.Error(codes.Code(want.GetCode()), want.GetMessage())
	}
	return &pb.SimpleResponse{Payload: payload(int(in.GetResponseSize()))}, nil
}

func (s *grpcService) StreamingInputCall(stream pb.TestService_StreamingInputCallServer) error {
	sum := 0
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
		}
		if err != nil {
			return err
		}
		sum += len(in.GetPayload().GetBody())
	}
}

func (s *grpcService) StreamingOutputCall(in *pb.StreamingOutputCallRequest, stream pb.TestService_StreamingOutputCallServer) error {
	for _, want := range in.GetResponseParameters() {
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: payload(int(want.GetSize()))}); err != nil {
			return err
		}
	}
	return nil
}

// FullDuplexCall answers each message at once. One that asks for no answer is waited with until the client leaves.
func (s *grpcService) FullDuplexCall(stream pb.TestService_FullDuplexCallServer) error {
	for {
		in, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case in.GetResponseStatus() != nil:
			return status.Error(codes.Code(in.GetResponseStatus().GetCode()), in.GetResponseStatus().GetMessage())
		case len(in.GetResponseParameters()) == 0:
			<-stream.Context().Done()
			s.ended <- stream.Context().Err().Error()
			return stream.Context().Err()
		}
		if err := s.StreamingOutputCall(in, stream); err != nil {
			return err
		}
	}
}

func payload(n int) *pb.Payload { return &pb.Payload{Body: testBytes(n)} }

// startGRPC runs gRPC's own server until the end of the test, and returns the configuration that reaches it.
func startGRPC(t *testing.T, s *grpcService, kind string) proxy.Config {
	t.Helper()
	var opts []grpc.ServerOption
	cfg := proxy.Config{}
	if kind == "https" {
		cert := certificate(t)
		opts = append(opts, grpc.Creds(credentials.NewServerTLSFromCert(&cert.pair)))
		cfg.Transport = proxy.NewTransport(proxy.TransportConfig{TLS: &tls.Config{RootCAs: cert.pool, ServerName: frontHost}})
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := grpc.NewServer(opts...)
	pb.RegisterTestServiceServer(srv, s)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() { srv.Stop(); require.NoError(t, <-done) })
	cfg.Upstreams = []string{kind + "://" + ln.Addr().String()}
	return cfg
}

func dialGRPC(t *testing.T, d door) pb.TestServiceClient {
	t.Helper()
	creds := insecure.NewCredentials()
	if d.tls {
		creds = credentials.NewTLS(&tls.Config{RootCAs: certificate(t).pool, ServerName: frontHost})
	}
	conn, err := grpc.NewClient("passthrough:///"+d.addr, grpc.WithTransportCredentials(creds), grpc.WithDisableServiceConfig(), grpc.WithNoProxy())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return pb.NewTestServiceClient(conn)
}

// gRPC's client and server, each with an HTTP/2 of its own, and our proxy between them.
func TestProxyGRPC(t *testing.T) {
	for _, kind := range []string{"h2c", "https"} {
		s := &grpcService{forwardedFor: make(chan []string, 100), ended: make(chan string, 1)}
		cfg := startGRPC(t, s, kind)
		failed := newReasons()
		cfg.OnError = failed.note
		o := startOurs(t, cfg)
		for _, d := range []door{o.secure, o.plain} {
			client := dialGRPC(t, d)
			t.Run(fmt.Sprintf("%s front, %s upstream", d.scheme(), kind), func(t *testing.T) {
				t.Run("client address", func(t *testing.T) { grpcForwardedFor(t, s, client) })
				t.Run("unary", func(t *testing.T) { grpcUnary(t, client) })
				t.Run("statuses", func(t *testing.T) { grpcStatuses(t, client) })
				t.Run("streams", func(t *testing.T) { grpcStreams(t, client) })
				t.Run("full duplex", func(t *testing.T) { grpcFullDuplex(t, client) })
				t.Run("parallel", func(t *testing.T) { grpcParallel(t, client) })
				t.Run("cancellation", func(t *testing.T) { grpcCancel(t, s, client) })
				require.Equal(t, proxy.ReasonClientGone, failed.await(t))
			})
		}
		require.Empty(t, failed)
		require.Zero(t, o.proxy.Status().Upstreams[0].Failures)
		t.Run("deadline, "+kind+" upstream", func(t *testing.T) {
			grpcDeadline(t, s, dialGRPC(t, o.secure))
			failed.await(t) // client and server both end the call, and either may be the first
		})
	}
}

func grpcContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), exchangeTime)
	t.Cleanup(cancel)
	return ctx
}

// Metadata is headers, and what a client says of itself there is forged.
func grpcForwardedFor(t *testing.T, s *grpcService, client pb.TestServiceClient) {
	ctx := metadata.AppendToOutgoingContext(grpcContext(t), "x-forwarded-for", "6.6.6.6", "forwarded", "for=6.6.6.6")
	_, err := client.EmptyCall(ctx, new(pb.Empty))
	require.NoError(t, err)
	require.Equal(t, []string{"127.0.0.1"}, <-s.forwardedFor)
}

func grpcUnary(t *testing.T, client pb.TestServiceClient) {
	const large = 3 << 20 // gRPC takes 4 MiB
	for _, opts := range [][]grpc.CallOption{nil, {grpc.UseCompressor(gzip.Name)}} {
		for _, n := range []int{0, 1, 64 << 10, large} {
			ctx := metadata.AppendToOutgoingContext(grpcContext(t), echoHeader, "kept", echoTrailer, "\x00\xab\xcd")
			var header, trailer metadata.MD
			out, err := client.UnaryCall(ctx, &pb.SimpleRequest{Payload: payload(n), ResponseSize: int32(n)},
				append(opts, grpc.Header(&header), grpc.Trailer(&trailer))...)
			require.NoError(t, err)
			require.True(t, string(out.GetPayload().GetBody()) == string(testBytes(n)), "%d bytes", n)
			require.Equal(t, []string{"kept"}, header.Get(echoHeader))
			require.Equal(t, []string{"\x00\xab\xcd"}, trailer.Get(echoTrailer))
		}
	}
}

func grpcStatuses(t *testing.T, client pb.TestServiceClient) {
	const special = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
	for _, want := range []*pb.EchoStatus{{Code: int32(codes.Unknown), Message: special}, {Code: int32(codes.Unavailable)}, {Code: 16, Message: "who?"}} {
		var trailer metadata.MD
		ctx := metadata.AppendToOutgoingContext(grpcContext(t), echoTrailer, "kept")
		_, err := client.UnaryCall(ctx, &pb.SimpleRequest{ResponseStatus: want}, grpc.Trailer(&trailer))
		isStatus(t, want, err)
		require.Equal(t, []string{"kept"}, trailer.Get(echoTrailer))

		stream, err := client.FullDuplexCall(ctx)
		require.NoError(t, err)
		require.NoError(t, stream.Send(&pb.StreamingOutputCallRequest{ResponseParameters: []*pb.ResponseParameters{{Size: 10}}}))
		_, err = stream.Recv()
		require.NoError(t, err)
		require.NoError(t, stream.Send(&pb.StreamingOutputCallRequest{ResponseStatus: want}))
		_, err = stream.Recv()
		isStatus(t, want, err)
	}
	_, err := client.UnimplementedCall(grpcContext(t), new(pb.Empty))
	require.Equal(t, codes.Unimplemented, status.Code(err))
}

func isStatus(t *testing.T, want *pb.EchoStatus, err error) {
	t.Helper()
	got := status.Convert(err)
	require.Equal(t, codes.Code(want.GetCode()), got.Code())
	require.Equal(t, want.GetMessage(), got.Message())
}

func grpcStreams(t *testing.T, client pb.TestServiceClient) {
	in, err := client.StreamingInputCall(grpcContext(t))
	require.NoError(t, err)
	sum := 0
	for _, n := range []int{27182, 8, 0, 1828, 45904, 1 << 20} {
		sum += n
		require.NoError(t, in.Send(&pb.StreamingInputCallRequest{Payload: payload(n)}))
	}
	total, err := in.CloseAndRecv()
	require.NoError(t, err)
	require.EqualValues(t, sum, total.GetAggregatedPayloadSize())

	sizes := []int{31415, 9, 0, 2653, 58979, 1 << 20}
	out, err := client.StreamingOutputCall(grpcContext(t), &pb.StreamingOutputCallRequest{ResponseParameters: parameters(sizes...)})
	require.NoError(t, err)
	for _, n := range sizes {
		message, err := out.Recv()
		require.NoError(t, err)
		require.Len(t, message.GetPayload().GetBody(), n)
	}
	_, err = out.Recv()
	require.ErrorIs(t, err, io.EOF)
}

func parameters(sizes ...int) []*pb.ResponseParameters {
	list := make([]*pb.ResponseParameters, len(sizes))
	for i, n := range sizes {
		list[i] = &pb.ResponseParameters{Size: int32(n)}
	}
	return list
}

// Each message is answered before the next is sent: nothing may wait for more in between.
func grpcFullDuplex(t *testing.T, client pb.TestServiceClient) {
	stream, err := client.FullDuplexCall(grpcContext(t))
	require.NoError(t, err)
	for _, n := range []int{31415, 9, 0, 2653, 58979} {
		require.NoError(t, stream.Send(&pb.StreamingOutputCallRequest{Payload: payload(n), ResponseParameters: parameters(n)}))
		message, err := stream.Recv()
		require.NoError(t, err)
		require.Len(t, message.GetPayload().GetBody(), n)
	}
	require.NoError(t, stream.CloseSend())
	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF)
}

func grpcParallel(t *testing.T, client pb.TestServiceClient) {
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			out, err := client.UnaryCall(t.Context(), &pb.SimpleRequest{Payload: payload(i * 100), ResponseSize: int32(i * 1000)})
			assert.NoError(t, err)
			assert.Len(t, out.GetPayload().GetBody(), i*1000)
		})
	}
	all.Wait()
}

// hang starts a call that the server does not answer.
func hang(t *testing.T, ctx context.Context, client pb.TestServiceClient) pb.TestService_FullDuplexCallClient {
	t.Helper()
	stream, err := client.FullDuplexCall(ctx)
	require.NoError(t, err)
	require.NoError(t, stream.Send(&pb.StreamingOutputCallRequest{ResponseParameters: parameters(1)}))
	_, err = stream.Recv()
	require.NoError(t, err, "the server must have begun")
	require.NoError(t, stream.Send(new(pb.StreamingOutputCallRequest)))
	return stream
}

func grpcDeadline(t *testing.T, s *grpcService, client pb.TestServiceClient) {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := hang(t, ctx, client).Recv()
	require.Contains(t, []codes.Code{codes.DeadlineExceeded, codes.Internal}, status.Code(err),
		"the client's clock is first or, now and then, the server's, whose reset a server of net/http passes on as an error of its own: %v", err)
	within(t, s.ended, time.Second, "the server does not know that the time is over")
}

func grpcCancel(t *testing.T, s *grpcService, client pb.TestServiceClient) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream := hang(t, ctx, client)
	time.Sleep(10 * time.Millisecond) // so that the server waits already, as a rule
	cancel()
	_, err := stream.Recv()
	require.Equal(t, codes.Canceled, status.Code(err))
	within(t, s.ended, time.Second, "the server does not know that the client is gone")
}

// What our own failures are to a gRPC client: an outage that it may try again after.
func TestProxyGRPCWithoutUpstream(t *testing.T) {
	o := startOurs(t, proxy.Config{Upstreams: []string{"h2c://" + freeAddrs(t, 1)[0]}})
	_, err := dialGRPC(t, o.secure).EmptyCall(grpcContext(t), new(pb.Empty))
	require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
}
