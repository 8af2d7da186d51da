namespace Diffract.Cli;

static class ExitCodes
{
    public const int Done = 0;

    public const int Failed = 1;

    public const int BadArguments = 2;

    /// <summary>Stopped by Ctrl-C.</summary>
    public const int Stopped = 130;
}
