# For node-gyp and prebuildify only: hands over to CMakeLists.txt, which is the build. npm itself runs package.json's install script.
{
  "targets": [
    {
      "target_name": "manyscale",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "message": "Building with CMake",
          "inputs": ["CMakeLists.txt"],
          # Never made, so that CMake is always asked what is out of date.
          "outputs": ["build/always"],
          "action": [
            "node", "scripts/build-native.mjs", "--arch", "<(target_arch)", "--config", "<(CONFIGURATION_NAME)",
            "--out", "build/cmake", "--library", "build/<(CONFIGURATION_NAME)"
          ]
        }
      ]
    }
  ]
}
