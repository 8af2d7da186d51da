using System.Diagnostics;

namespace Diffract.Tests.Cli;

/// <summary>Runs the program as a user does.</summary>
static class CommandLine
{
    /// <param name="folder">Where it runs.</param>
    /// <param name="arguments">The verb and what follows.</param>
    /// <returns>Exit code, standard output, standard error.</returns>
    public static (int Code, string Output, string Error) Run(string folder, params string[] arguments)
    {
        ProcessStartInfo start = new("dotnet", [Path.Combine(AppContext.BaseDirectory, "Diffract.Cli.dll"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder,
        };
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        process.WaitForExit();
        return (process.ExitCode, output.Result, error.Result);
    }
}
