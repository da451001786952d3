// The peer: an ADS server on go-control-plane's snapshot cache.
//
// It prints "READY address". For each line "push" on its input it sets the next snapshot,
// built beforehand, and prints "PUSHED nanoseconds": the wall clock just before.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
)

// oneGroup puts every node into the same group, so that all share one snapshot.
type oneGroup struct{}

func (oneGroup) ID(*core.Node) string { return "all" }

func edsCluster(i int) *cluster.Cluster {
	return &cluster.Cluster{
		Name:                 name(i),
		ConnectTimeout:       durationpb.New(time.Second),
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		EdsClusterConfig: &cluster.Cluster_EdsClusterConfig{EdsConfig: &core.ConfigSource{
			ResourceApiVersion:    core.ApiVersion_V3,
			ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
		}},
	}
}

func assignment(i, endpoints, shift int) *endpoint.ClusterLoadAssignment {
	locality := &endpoint.LocalityLbEndpoints{}
	for j := 0; j < endpoints; j++ {
		port := uint32(10000 + (shift+j)%50000)
		locality.LbEndpoints = append(locality.LbEndpoints, &endpoint.LbEndpoint{
			HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{
				Address: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
					Address:       "127.0.0.1",
					PortSpecifier: &core.SocketAddress_PortValue{PortValue: port},
				}}},
			}},
		})
	}
	return &endpoint.ClusterLoadAssignment{
		ClusterName: name(i), Endpoints: []*endpoint.LocalityLbEndpoints{locality},
	}
}

func name(i int) string { return fmt.Sprintf("outbound|80||svc-%d.default.svc.cluster.local", i) }

func snapshot(version, clusters, endpoints int) *cache.Snapshot {
	var cs, es []types.Resource
	for i := 0; i < clusters; i++ {
		c := edsCluster(i)
		if i == 0 {
			c.ConnectTimeout = durationpb.New(time.Second + time.Duration(version)*time.Millisecond)
		}
		cs = append(cs, c)
		es = append(es, assignment(i, endpoints, version))
	}
	s, err := cache.NewSnapshot(strconv.Itoa(version), map[resource.Type][]types.Resource{
		resource.ClusterType: cs, resource.EndpointType: es,
	})
	if err != nil {
		log.Fatal(err)
	}
	return s
}

func main() {
	clusters := flag.Int("clusters", 1, "how many clusters")
	endpoints := flag.Int("endpoints", 100, "endpoints of each assignment")
	flag.Parse()
	ctx := context.Background()
	snapshots := cache.NewSnapshotCache(true, oneGroup{}, nil)
	if err := snapshots.SetSnapshot(ctx, "all", snapshot(0, *clusters, *endpoints)); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	g := grpc.NewServer(grpc.MaxConcurrentStreams(1_000_000))
	discovery.RegisterAggregatedDiscoveryServiceServer(g, server.NewServer(ctx, snapshots, nil))
	go func() { log.Fatal(g.Serve(listener)) }()
	fmt.Println("READY", listener.Addr())

	lines := bufio.NewScanner(os.Stdin)
	for version := 1; lines.Scan(); version++ {
		next := snapshot(version, *clusters, *endpoints)
		start := time.Now()
		if err := snapshots.SetSnapshot(ctx, "all", next); err != nil {
			log.Fatal(err)
		}
		fmt.Println("PUSHED", start.UnixNano())
	}
}
