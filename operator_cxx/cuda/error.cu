// The sentence behind a status.
#include <stdio.h>

#include "host.h"

namespace {

thread_local char last_error[256] = "";

}  // namespace

int dcn::refuse(int status, const char* sentence) {
  snprintf(last_error, sizeof last_error, "%s", sentence);
  return status;
}

const char* dcn_cuda_error() { return last_error; }
