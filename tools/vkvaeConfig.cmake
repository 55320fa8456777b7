# find_package(vkvae) gives the target vkvae::vkvae. Its headers show Vulkan handles, so Vulkan's headers must be there:
# the package VulkanHeaders, or a folder with vulkan/vulkan_core.h (VULKAN_SDK, the system's, -DVKVAE_VULKAN_INCLUDE=).
find_package(VulkanHeaders CONFIG QUIET)
if(NOT TARGET Vulkan::Headers)
    find_path(VKVAE_VULKAN_INCLUDE vulkan/vulkan_core.h HINTS $ENV{VULKAN_SDK}/include $ENV{VULKAN_SDK}/Include)
    if(NOT VKVAE_VULKAN_INCLUDE)
        set(vkvae_FOUND FALSE)
        string(CONCAT vkvae_NOT_FOUND_MESSAGE "no vulkan/vulkan_core.h: install Vulkan's headers (Debian: "
            "libvulkan-dev) or a Vulkan SDK, or set VKVAE_VULKAN_INCLUDE to the folder that has them")
        return()
    endif()
endif()

include(CMakeFindDependencyMacro)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/vkvaeTargets.cmake)
if(TARGET Vulkan::Headers)
    target_link_libraries(vkvae::vkvae INTERFACE Vulkan::Headers)
else()
    target_include_directories(vkvae::vkvae SYSTEM INTERFACE ${VKVAE_VULKAN_INCLUDE})
endif()
