using System.Runtime.InteropServices;

namespace Diffract.Cpu;

/// <summary>What the machine calls its processor: for manifests and tables, where a number without a machine says little.</summary>
public static class Processor
{
    public static string Name { get; } = Read();

    static string Read()
    {
        const string File = "/proc/cpuinfo";
        string? line = System.IO.File.Exists(File) ? System.IO.File.ReadLines(File).FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal)) : null;
        return line?[(line.IndexOf(':') + 1)..].Trim() ?? RuntimeInformation.ProcessArchitecture.ToString();
    }
}
