// The original Mixer as one program: its server, its client and two of its back ends.
//
//	METRICS_ADDRESS=ADDRESS original-mixer mixs server --configStoreURL fs://FOLDER …
//	original-mixer mixc check|report --mixer ADDRESS …
//	original-mixer keyval ADDRESS
//	original-mixer policy ADDRESS
//
// The server has the adapters that the tests use: of the others most would draw in the libraries
// of whole clouds. The back ends listen where they are told, and not on all interfaces.
package main

import (
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc"
	backend "istio.io/api/mixer/adapter/model/v1beta1"
	"istio.io/istio/mixer/adapter/bypass"
	"istio.io/istio/mixer/adapter/denier"
	"istio.io/istio/mixer/adapter/dogstatsd"
	"istio.io/istio/mixer/adapter/fluentd"
	"istio.io/istio/mixer/adapter/kubernetesenv"
	"istio.io/istio/mixer/adapter/list"
	"istio.io/istio/mixer/adapter/memquota"
	"istio.io/istio/mixer/adapter/noop"
	"istio.io/istio/mixer/adapter/prometheus"
	"istio.io/istio/mixer/adapter/redisquota"
	"istio.io/istio/mixer/adapter/statsd"
	"istio.io/istio/mixer/adapter/stdio"
	"istio.io/istio/mixer/adapter/zipkin"
	client "istio.io/istio/mixer/cmd/mixc/cmd"
	server "istio.io/istio/mixer/cmd/mixs/cmd"
	"istio.io/istio/mixer/cmd/shared"
	"istio.io/istio/mixer/pkg/adapter"
	"istio.io/istio/mixer/template"
	"istio.io/istio/mixer/template/checknothing"
	"istio.io/istio/mixer/template/metric"
	"istio.io/istio/mixer/test/keyval"
	"istio.io/istio/pkg/test/fakes/policy"
)

var adapters = []adapter.InfoFn{
	bypass.GetInfo,
	denier.GetInfo,
	dogstatsd.GetInfo,
	fluentd.GetInfo,
	kubernetesenv.GetInfo,
	list.GetInfo,
	memquota.GetInfo,
	noop.GetInfo,
	metrics,
	redisquota.GetInfo,
	statsd.GetInfo,
	stdio.GetInfo,
	zipkin.GetInfo,
}

// Its adapter would listen on a port of its own choice, on all interfaces.
func metrics() adapter.Info {
	info, _ := prometheus.GetInfoWithAddr(os.Getenv("METRICS_ADDRESS"))
	return info
}

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("say which part is meant, and what for"))
	}
	fail(run(os.Args[1], os.Args[2:]))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(part string, arguments []string) error {
	templates := template.SupportedTmplInfo
	switch part {
	case "mixs":
		root := server.GetRootCmd(arguments, templates, adapters, shared.Printf, shared.Fatalf)
		return root.Execute()
	case "mixc":
		return client.GetRootCmd(arguments, shared.Printf, shared.Fatalf).Execute()
	case "keyval":
		return serve(arguments[0], func(to *grpc.Server) {
			keyval.RegisterHandleKeyvalServiceServer(to, keyval.Keyval{})
		})
	case "policy":
		return serve(arguments[0], func(to *grpc.Server) {
			fake := policy.NewPolicyBackend(0)
			backend.RegisterInfrastructureBackendServer(to, fake)
			checknothing.RegisterHandleCheckNothingServiceServer(to, fake)
			metric.RegisterHandleMetricServiceServer(to, fake)
			keyval.RegisterHandleKeyvalServiceServer(to, fake)
			policy.RegisterControllerServiceServer(to, fake)
		})
	}
	return fmt.Errorf("there is no part %q", part)
}

func serve(address string, add func(*grpc.Server)) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	to := grpc.NewServer()
	add(to)
	return to.Serve(listener)
}
