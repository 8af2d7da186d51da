namespace Diffract.Runs;

/// <summary>
/// The one error type for what a user can mend: the message is one line that says what, got, wanted and what to do. The program prints it without a stack trace.
/// </summary>
public sealed class DiffractException : Exception
{
    public DiffractException(string message, int exitCode = Failed, Exception? inner = null)
        : base(OneLine(message), inner)
        => ExitCode = exitCode;

    /// <summary>Exit code of a failure.</summary>
    public const int Failed = 1;

    /// <summary>Exit code of bad arguments.</summary>
    public const int BadArguments = 2;

    public int ExitCode { get; }

    /// <summary>Names out of damaged files may hold anything.</summary>
    static string OneLine(string message) => message.Any(char.IsControl) ? string.Concat(message.Select(c => char.IsControl(c) ? '?' : c)) : message;

    /// <summary>An error in what was asked for: exit code 2.</summary>
    public static DiffractException Argument(string message) => new(message, BadArguments);
}
