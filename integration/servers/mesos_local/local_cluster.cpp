// Starts a real Mesos master and MESOS_NUM_SLAVES agents in this process: the master "local" of the
// MesosSchedulerDriver in the library given as argument, called by its mangled names, since the
// package that brings it has no headers.
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <string>
#include <unistd.h>

// The same virtual functions, in the same order, as mesos::Scheduler.
struct Scheduler {
  virtual ~Scheduler() {}
  virtual void registered(void*, const void*, const void*) {}
  virtual void reregistered(void*, const void*) {}
  virtual void disconnected(void*) {}
  virtual void resourceOffers(void*, const void*) {}
  virtual void offerRescinded(void*, const void*) {}
  virtual void statusUpdate(void*, const void*) {}
  virtual void frameworkMessage(void*, const void*, const void*, const void*) {}
  virtual void slaveLost(void*, const void*) {}
  virtual void executorLost(void*, const void*, const void*, int) {}
  virtual void error(void*, const std::string& message) {
    fprintf(stderr, "error: %s\n", message.c_str());
  }
};

// Option<std::string>: the state 0 is SOME, 1 is NONE.
struct Option {
  int state;
  int pad;
  std::string value;
};

static void* symbol(void* library, const char* name) {
  void* found = dlsym(library, name);
  if (!found) {
    fprintf(stderr, "there is no %s: is this the library of Mesos 1.11.0?\n", name);
    exit(1);
  }
  return found;
}

int main(int, char** argv) {
  // What the library needs of Python, as functions that do nothing.
  if (!dlopen("libpystub.so", RTLD_NOW | RTLD_GLOBAL)) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  void* library = dlopen(argv[1], RTLD_LAZY | RTLD_GLOBAL);
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  auto framework = (void (*)(void*))symbol(library, "_ZN5mesos13FrameworkInfoC1Ev");
  auto parse = (bool (*)(void*, const std::string&))symbol(
      library,
      "_ZN6google8protobuf11MessageLite15ParseFromString"
      "ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE");
  auto driver = (void (*)(void*, void*, const void*, const std::string&, bool))symbol(
      library,
      "_ZN5mesos20MesosSchedulerDriverC1EPNS_9SchedulerERKNS_13FrameworkInfoE"
      "RKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEb");
  auto initialize = (bool (*)(const void*, const void*, const void*))symbol(
      library,
      "_ZN7process10initializeERK6OptionINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEE"
      "S9_S9_");
  Option master{0, 0, "master"}, none{1, 0, ""};
  initialize(&master, &none, &none);  // so that /api/v1 is the master's
  void* info = calloc(1, 65536);
  framework(info);
  parse(info, std::string("\x0a\x04root\x12\x04idle", 12));  // user, name
  driver(calloc(1, 65536), new Scheduler, info, "local", true);
  for (;;) pause();
}
