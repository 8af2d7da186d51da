using System.Diagnostics;

namespace Diffract.Tests.Cli;

/// <summary>Runs the program as a user does.</summary>
static class CommandLine
{
    /// <param name="folder">Where it runs.</param>
    /// <param name="arguments">The verb and what follows.</param>
    /// <returns>Exit code, standard output, standard error.</returns>
    public static (int Code, string Output, string Error) Run(string folder, params string[] arguments) => Run(folder, [], arguments);

    /// <summary>The same with environment variables; what looks like a name on the hub is looked for on no network unless they say so.</summary>
    public static (int Code, string Output, string Error) Run(string folder, (string Name, string Value)[] variables, string[] arguments)
    {
        ProcessStartInfo start = new("dotnet", [Path.Combine(AppContext.BaseDirectory, "Diffract.Cli.dll"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder,
        };
        start.Environment["HF_HUB_OFFLINE"] = "1";
        start.Environment["HF_HUB_CACHE"] = Path.Combine(folder, "hub");
        foreach ((string name, string value) in variables)
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        process.WaitForExit();
        return (process.ExitCode, output.Result, error.Result);
    }
}
