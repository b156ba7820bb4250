# The formula for a Homebrew tap. __HOMEPAGE__, __URL__ and __SHA256__ are filled in as docs/PACKAGING.md says; the
# release workflow does it by itself. Nobody has installed by it yet.
class MlxServing < Formula
  desc "Inference server for language models on Apple's MLX"
  homepage "__HOMEPAGE__"
  url "__URL__"
  version "0.1.0"
  sha256 "__SHA256__"
  license "Apache-2.0"

  depends_on "node"
  depends_on "python@3.13"

  def install
    system "npm", "install", *std_npm_args
    bin.install_symlink libexec.glob("bin/*")
    generate_completions_from_executable(bin/"mlx-serving", "completion")
  end

  # launchd kills 20 s after SIGTERM, and Homebrew can't tell it to wait longer.
  service do
    run [opt_bin/"mlx-serving", "serve", "--data-dir", var/"mlx-serving/responses", "--drain-timeout", "15s"]
    keep_alive successful_exit: false
    process_type :interactive
    working_dir var/"mlx-serving"
    environment_variables PATH: std_service_path_env
    log_path var/"log/mlx-serving.log"
    error_log_path var/"log/mlx-serving.log"
  end

  def post_install
    (var/"mlx-serving").mkpath
  end

  def caveats
    <<~EOS
      The first start makes a Python environment, builds native parts and fetches a small model;
      it needs a network and takes a minute or two.
    EOS
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/mlx-serving --version")
    assert_match "--drain-timeout", shell_output("#{bin}/mlx-serving serve --help")
  end
end
