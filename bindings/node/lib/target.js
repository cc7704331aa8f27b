'use strict'

/**
 * The name of this platform's directory in `prebuilds`, for example `linux-x64-gnu`.
 */
exports.target = function () {
  const { platform, arch } = process
  if (platform !== 'linux') return `${platform}-${arch}`

  // Only a Node built for glibc reports its version.
  const { glibcVersionRuntime } = process.report.getReport().header
  return `${platform}-${arch}-${glibcVersionRuntime ? 'gnu' : 'musl'}`
}
