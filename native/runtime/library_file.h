// What can be said about a shared library's file before the dynamic loader touches it.
#pragma once

#include <string>

namespace manyscale::runtime {

// '' when the dynamic loader may try the file, else why not: unreadable, no shared library, for another processor, or cut
// short, for which the loader would end the process with SIGBUS.
std::string why_not_loadable(const std::string& path);

// Whether the file contains the text, as a library does whose symbol it names.
bool file_contains(const std::string& path, const char* text);

}  // namespace manyscale::runtime
