#include "kernels.h"

#define DCN_ADDRESS(name) dcn::name,
const dcn_kernels dcn::kernels = {DCN_EACH_FUNCTION(DCN_ADDRESS)};
