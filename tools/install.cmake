# cmake --install: the library, its headers, the tool, and how other projects find them (CMake package, pkg-config).
option(VKVAE_INSTALL "Make install rules" ${PROJECT_IS_TOP_LEVEL})
if(NOT VKVAE_INSTALL)
    return()
endif()
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS vkvae EXPORT vkvaeTargets INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/runtime/include/vkvae DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN *.hpp PATTERN *.h)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(TARGET vkvae_cli)
    get_target_property(type vkvae TYPE)
    if(type STREQUAL SHARED_LIBRARY AND NOT APPLE AND NOT WIN32) # the tool finds it wherever the prefix is moved
        cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBDIR BASE_DIRECTORY ${CMAKE_INSTALL_FULL_BINDIR}
            OUTPUT_VARIABLE lib)
        set_target_properties(vkvae_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${lib}")
    endif()
    install(TARGETS vkvae_cli)
endif()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/vkvae)
install(EXPORT vkvaeTargets NAMESPACE vkvae:: DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/vkvaeConfigVersion.cmake
    COMPATIBILITY SameMinorVersion) # before 1.0 a minor version may change the API
install(FILES ${PROJECT_SOURCE_DIR}/tools/vkvaeConfig.cmake ${PROJECT_BINARY_DIR}/vkvaeConfigVersion.cmake
    DESTINATION ${package_dir})

# Paths relative to the .pc file, so that the prefix can be moved; absolute ones stay as they are.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
    OUTPUT_VARIABLE pc_up)
cmake_path(APPEND pc_libdir "\${prefix}" ${CMAKE_INSTALL_LIBDIR})
cmake_path(APPEND pc_includedir "\${prefix}" ${CMAKE_INSTALL_INCLUDEDIR})
list(TRANSFORM CMAKE_DL_LIBS PREPEND -l OUTPUT_VARIABLE pc_libs_private)
list(APPEND pc_libs_private ${CMAKE_THREAD_LIBS_INIT})
list(JOIN pc_libs_private " " pc_libs_private)
configure_file(${PROJECT_SOURCE_DIR}/tools/vkvae.pc.in ${PROJECT_BINARY_DIR}/vkvae.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/vkvae.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
