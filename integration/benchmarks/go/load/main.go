// The load: N state-of-the-world ADS streams, each on a connection of its own.
//
// Responses stay bytes: only version and nonce are read, for the ACK. It prints "READY"
// when every stream has had its first response. For each line "round" on its input it
// prints "ARMED", and after one more response on every stream a JSON object with the wall
// clock of the first, median and last one and with the processor time that it used itself.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"sort"
	"sync"
	"syscall"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const method = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"

// Numbers of the fields of DiscoveryResponse that an ACK repeats.
const (
	versionField protowire.Number = 1
	nonceField   protowire.Number = 5
)

type seen struct {
	version, nonce string
	size           int
}

// bytesCodec sends bytes as they are, and reads no more of a response than an ACK needs.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	whole := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	rest := whole.ReadOnlyData()
	found := v.(*seen)
	found.size = len(rest)
	for len(rest) > 0 {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return protowire.ParseError(n)
		}
		rest = rest[n:]
		if n = protowire.ConsumeFieldValue(number, kind, rest); n < 0 {
			return protowire.ParseError(n)
		}
		if number == versionField || number == nonceField {
			text, _ := protowire.ConsumeBytes(rest)
			if number == versionField {
				found.version = string(text)
			} else {
				found.nonce = string(text)
			}
		}
		rest = rest[n:]
	}
	return nil
}

// round collects one response of each stream.
type round struct {
	mu    sync.Mutex
	id    int
	times []int64
	bytes int
	extra int
	done  chan struct{}
}

func (r *round) arm(streams int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.id++
	r.times = make([]int64, 0, streams)
	r.bytes, r.extra = 0, 0
	r.done = make(chan struct{})
}

func (r *round) arrived(last *int, size int, streams int) {
	now := time.Now().UnixNano()
	r.mu.Lock()
	defer r.mu.Unlock()
	if *last == r.id {
		r.extra++
		return
	}
	*last = r.id
	r.times = append(r.times, now)
	r.bytes += size
	if len(r.times) == streams {
		close(r.done)
	}
}

func cpu() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func request(v *discovery.DiscoveryRequest) []byte {
	out, err := proto.Marshal(v)
	if err != nil {
		log.Fatal(err)
	}
	return out
}

func follow(i int, address, url string, names []string, r *round, streams int, slots chan struct{}) {
	slots <- struct{}{}
	connection, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(bytesCodec{}), grpc.MaxCallRecvMsgSize(1<<26)),
		grpc.WithSharedWriteBuffer(true),
		// As Envoy does, leave room for a whole response, so that flow control costs no turns.
		grpc.WithInitialWindowSize(1<<24), grpc.WithInitialConnWindowSize(1<<24))
	if err != nil {
		log.Fatal(err)
	}
	stream, err := connection.NewStream(context.Background(),
		&grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		log.Fatal(err)
	}
	if err := stream.SendMsg(request(&discovery.DiscoveryRequest{
		Node:    &core.Node{Id: fmt.Sprintf("load-%d", i), Cluster: "load"},
		TypeUrl: url, ResourceNames: names,
	})); err != nil {
		log.Fatal(err)
	}
	last := 0
	for first := true; ; first = false {
		var got seen
		if err := stream.RecvMsg(&got); err != nil {
			log.Fatalf("stream %d: %v", i, err)
		}
		r.arrived(&last, got.size, streams)
		if err := stream.SendMsg(request(&discovery.DiscoveryRequest{
			TypeUrl: url, ResourceNames: names, VersionInfo: got.version, ResponseNonce: got.nonce,
		})); err != nil {
			log.Fatalf("stream %d: %v", i, err)
		}
		if first {
			<-slots
		}
	}
}

func main() {
	address := flag.String("address", "", "host:port of the server")
	streams := flag.Int("streams", 100, "how many")
	url := flag.String("type-url", "", "the resource type to subscribe to")
	resource := flag.String("name", "", "the one resource to subscribe to; none is wildcard")
	flag.Parse()
	var names []string
	if *resource != "" {
		names = []string{*resource}
	}
	r := &round{}
	r.arm(*streams)
	slots := make(chan struct{}, 50) // no connect storm: that is another measurement
	for i := 0; i < *streams; i++ {
		go follow(i, *address, *url, names, r, *streams, slots)
	}
	<-r.done
	fmt.Println("READY")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		r.arm(*streams)
		before := cpu()
		fmt.Println("ARMED")
		<-r.done
		used := cpu() - before
		r.mu.Lock()
		sort.Slice(r.times, func(a, b int) bool { return r.times[a] < r.times[b] })
		out, _ := json.Marshal(map[string]int64{
			"first": r.times[0], "median": r.times[len(r.times)/2], "last": r.times[len(r.times)-1],
			"bytes": int64(r.bytes), "cpu": used, "extra": int64(r.extra),
		})
		r.mu.Unlock()
		fmt.Println(string(out))
	}
}
