@echo off
rem Starts Gyre on Windows, as the script gyre does elsewhere. Builds its jar on first use and whenever the sources are newer.
rem
rem   GYRE_JAVA_HOME  the JDK (25 or newer) to use; else JAVA_HOME, the usual places, then java on the PATH
rem   GYRE_JAVA_OPTS  more options for the JVM: set GYRE_JAVA_OPTS=-Xmx8g
rem
rem TornadoVM's devices are not started from here.
setlocal EnableExtensions DisableDelayedExpansion
set "called=%~0"
set "root=%~dp0"
set "root=%root:~0,-1%"
set "jar=%root%\bench\target\gyre.jar"
rem A release archive brings its own jar.
if exist "%root%\lib\gyre.jar" set "jar=%root%\lib\gyre.jar"
set "log=%root%\target\gyre-build.log"
set "start=%root%\target\gyre-build.start"

set "home="
if not defined GYRE_JAVA_HOME goto search
call :java "%GYRE_JAVA_HOME%"
if defined home goto found
>&2 echo gyre: GYRE_JAVA_HOME=%GYRE_JAVA_HOME% is not the home of a JDK 25 or newer
exit /b 2

:search
if defined JAVA_HOME call :java "%JAVA_HOME%"
for /d %%i in ("%ProgramFiles%\Eclipse Adoptium\*" "%ProgramFiles%\Java\*" "%ProgramFiles%\Microsoft\jdk*" "%ProgramFiles%\Zulu\*" "%ProgramFiles%\Amazon Corretto\*" "%USERPROFILE%\.jdks\*") do call :java "%%~i"
for %%j in (java.exe) do if not "%%~$PATH:j"=="" call :java "%%~dp$PATH:j.."
if defined home goto found
>&2 echo gyre: needs a JDK 25 and found none: install one (Eclipse Temurin 25, for instance) or point GYRE_JAVA_HOME to its home
exit /b 2

:found
call :stale
if errorlevel 1 goto start
call :build
if errorlevel 1 exit /b 1

:start
if defined TORNADOVM_HOME >&2 echo gyre: TORNADOVM_HOME is passed over: gyre.cmd computes on the CPU
rem Why these: see the script gyre. A collector chosen in GYRE_JAVA_OPTS replaces this one, and -Xmn or -Xmx there win.
set "gc=-XX:+UseParallelGC -XX:ParallelGCThreads=1"
if not defined GYRE_JAVA_OPTS goto run
set GYRE_JAVA_OPTS | findstr /r /c:"-XX:+Use[A-Za-z0-9]*GC" >nul
if not errorlevel 1 set "gc="

:run
"%home%\bin\java.exe" "-Dgyre.called=%called%" --add-modules jdk.incubator.vector --enable-native-access=ALL-UNNAMED --add-exports java.base/jdk.internal.vm=ALL-UNNAMED %gc% -XX:MaxRAMPercentage=80 -Xmn16m -Xshare:auto %GYRE_JAVA_OPTS% -jar "%jar%" %*
exit /b %ERRORLEVEL%

rem Sets home to %1 where that is the home of a JDK 25 or newer and none was found before. Its file release says so.
:java
if defined home exit /b 0
if not exist "%~1\bin\java.exe" exit /b 0
if not exist "%~1\release" exit /b 0
set "version="
for /f "usebackq tokens=1,2 delims==." %%a in ("%~1\release") do if "%%a"=="JAVA_VERSION" set "version=%%b"
if not defined version exit /b 0
set "version=%version:"=%"
if %version% GEQ 25 set "home=%~f1"
exit /b 0

rem Does the jar need a build (0) or not (1)? A build that was interrupted may have left half a jar, and a mark.
:stale
if not exist "%root%\pom.xml" exit /b 1
if not exist "%jar%" exit /b 0
if exist "%start%" exit /b 0
powershell -NoProfile -NonInteractive -Command "$t = (Get-Item -LiteralPath $env:jar).LastWriteTimeUtc; $f = @(Get-Item -LiteralPath (Join-Path $env:root 'pom.xml')); foreach ($d in Get-ChildItem -LiteralPath $env:root -Directory) { foreach ($p in 'pom.xml', 'src\main') { $p = Join-Path $d.FullName $p; if (Test-Path -LiteralPath $p) { $f += Get-Item -LiteralPath $p; $f += Get-ChildItem -LiteralPath $p -Recurse } } }; if ($f | Where-Object { $_.LastWriteTimeUtc -gt $t }) { exit 0 } else { exit 1 }" <nul
exit /b %ERRORLEVEL%

:build
>&2 echo building Gyre (first use or sources changed) ...
if not exist "%root%\target" mkdir "%root%\target"
rem The jar gets the time at which the build began: what changes meanwhile is built next time.
type nul >"%start%"
setlocal
rem Maven finds the JDK by itself; JAVA_HOME names ours, for homes it would not look in.
set "JAVA_HOME=%home%"
pushd "%root%"
call "%root%\mvnw.cmd" -q -B -ntp -Pquick -Dmaven.test.skip=true package >"%log%" 2>&1 <nul
set "code=%ERRORLEVEL%"
popd
if "%code%"=="0" goto built
>&2 findstr /b /c:"[ERROR]" /c:"mvnw: " "%log%"
>&2 echo gyre: the build failed; see %log%
exit /b 1

:built
powershell -NoProfile -NonInteractive -Command "(Get-Item -LiteralPath $env:jar).LastWriteTimeUtc = (Get-Item -LiteralPath $env:start).LastWriteTimeUtc" <nul
del "%start%"
exit /b 0
