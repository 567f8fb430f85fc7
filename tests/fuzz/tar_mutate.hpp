// Changes of a tar that leave it one: entries put in, doubled and taken out, fields set, pax
// records of the right length; and checksums made right after a change of bytes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/random.hpp"

namespace coracle::fuzz {

void mutate_tar(std::string& tar, Random& random);
void mend_tar(std::string& tar);
// Names that lead out, whiteouts, pax keywords, …
std::vector<std::string> tar_dictionary();

// The whole archive of one file, for targets that need more than chance gives.
std::string tar_entry(std::string_view name, char type, std::string_view link,
                      std::string_view data);

}  // namespace coracle::fuzz
